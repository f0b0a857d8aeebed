"""The real ceiling of a process's memory, and where to read what surrounds it.

A container's limit is not the machine's: the ceiling is the least of the limits of the process's control
group and all above it (version 2), of its memory controller (version 1), of its own resource limit on
address space, and of the machine's memory. The group's path in ``/proc/PID/cgroup`` need not exist inside a
container; ``mountinfo`` tells which part of the hierarchy is mounted where. Version 1 writes "no limit" as a
number near 2 to the 63rd. Figures that are absent carry their reason.
"""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

from memlab.collectors.sampler_script import reading_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Limit", "Surroundings", "figures", "surroundings"]

_NO_LIMIT = 1 << 60
_MEMORY = "memory"


@dataclasses.dataclass(frozen=True, slots=True)
class Limit:
    """One limit on memory, in bytes, and what sets it."""

    value_bytes: int
    source: str


@dataclasses.dataclass(frozen=True, slots=True)
class Surroundings:
    """What bounds a process's memory and what its surroundings tell.

    Attributes:
        limits: all limits that were found, the least first.
        figures: files to read as ``(metric, path, form, source)``, see ``sampler_script.reading_of``.
        absent: metric -> why it cannot be read here.
    """

    limits: tuple[Limit, ...]
    figures: tuple[tuple[str, str, str, str], ...]
    absent: Mapping[str, str]

    @property
    def ceiling(self) -> Limit | None:
        """The limit that is reached first; None where none is known."""
        return self.limits[0] if self.limits else None

    def read(self) -> tuple[dict[str, int], dict[str, str]]:
        """Read all figures now: metric -> value, and metric -> why it has none."""
        values: dict[str, int] = {}
        absent = dict(self.absent)
        for name, path, form, _ in self.figures:
            try:
                values[name] = reading_of(path, form)
            except (OSError, ValueError, StopIteration) as error:
                absent[name] = getattr(error, "strerror", None) or "does not read as expected"
        return values, absent


def surroundings(pid: int | None = None, root: str = "/") -> Surroundings:
    """Find what bounds a process and where its surroundings can be read. Never raises.

    Args:
        pid: which process. Default: this one.
        root: where the file system begins; a test brings a tree of its own.

    >>> found = surroundings()
    >>> found.ceiling is None or found.ceiling.value_bytes > 0
    True
    """
    process = os.path.join(root, "proc", "self" if pid is None else str(pid))  # noqa: PTH118 - early and often
    limits: list[Limit] = []
    found: dict[str, tuple[str, str, str, str]] = {}
    for version, folder in _groups(process, root):
        names = _V2 if version == 2 else _V1  # noqa: PLR2004 - the two versions there are
        limit = _number(os.path.join(folder, names["limit"]))  # noqa: PTH118
        if limit is not None and 0 < limit < _NO_LIMIT:
            limits.append(Limit(limit, f"cgroup v{version} {names['limit']}"))
        for metric in ("cgroup_bytes", "cgroup_peak_bytes"):
            path = os.path.join(folder, names[metric])  # noqa: PTH118
            if metric not in found and _number(path) is not None:
                found[metric] = (metric, path, "int", f"cgroup v{version} {names[metric]}")
        stall = os.path.join(folder, "memory.pressure")  # noqa: PTH118
        if "stall_us" not in found and _answers(stall, "psi"):
            found["stall_us"] = ("stall_us", stall, "psi", "cgroup memory.pressure, some")
    pressure = os.path.join(root, "proc/pressure/memory")  # noqa: PTH118
    if "stall_us" not in found and _answers(pressure, "psi"):
        found["stall_us"] = ("stall_us", pressure, "psi", "/proc/pressure/memory, some")
    meminfo = os.path.join(root, "proc/meminfo")  # noqa: PTH118
    if _answers(meminfo, "meminfo"):
        found["available_bytes"] = ("available_bytes", meminfo, "meminfo", "MemAvailable")
    limits += [limit for limit in (_address_space(process), _physical(meminfo)) if limit is not None]
    absent = {metric: reason for metric, reason in _REASONS.items() if metric not in found}
    order = sorted(limits, key=lambda limit: limit.value_bytes)
    return Surroundings(tuple(order), tuple(found.values()), absent)


def figures(pid: int | None = None) -> list[tuple[str, str, str, str]]:
    """Return the files that tell of a process's surroundings; see ``Surroundings.figures``."""
    return list(surroundings(pid).figures)


_V2 = {"limit": "memory.max", "cgroup_bytes": "memory.current", "cgroup_peak_bytes": "memory.peak"}
_V1 = {
    "limit": "memory.limit_in_bytes",
    "cgroup_bytes": "memory.usage_in_bytes",
    "cgroup_peak_bytes": "memory.max_usage_in_bytes",
}
_REASONS = {
    "cgroup_bytes": "no memory controller of a control group is mounted here",
    "cgroup_peak_bytes": "no memory controller of a control group is mounted here, or it keeps no peak",
    "stall_us": "this kernel counts no stalls for memory",
    "available_bytes": "there is no MemAvailable in /proc/meminfo",
}


def _groups(process: str, root: str) -> Iterator[tuple[int, str]]:
    """Give version and folder of the process's memory groups, its own first, then those above."""
    for line in _text(f"{process}/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        version = 1 if controllers else 2
        if version == 1 and _MEMORY not in controllers.split(","):
            continue
        for mount, top in _mounts(process, version):
            inside = os.path.relpath(path, top) if path.startswith(top.rstrip("/") or "/") else "."
            base = os.path.normpath(os.path.join(root, mount.lstrip("/")))  # noqa: PTH118
            folder = os.path.normpath(os.path.join(base, inside))  # noqa: PTH118
            if not folder.startswith(base):
                folder = base
            while True:
                yield version, folder
                if folder == base:
                    break
                folder = os.path.dirname(folder)  # noqa: PTH120


def _mounts(process: str, version: int) -> Iterator[tuple[str, str]]:
    """Give where a hierarchy is mounted, and which of its groups stands there."""
    for line in _text(f"{process}/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or len(kind) < 3:  # noqa: PLR2004 - as proc(5) has them
            continue
        is_memory = kind[0] == "cgroup" and _MEMORY in kind[2].split(",")
        if (version == 2 and kind[0] == "cgroup2") or (version == 1 and is_memory):  # noqa: PLR2004
            yield _unescaped(fields[4]), _unescaped(fields[3])


def _unescaped(field: str) -> str:
    return field.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")


def _address_space(process: str) -> Limit | None:
    for line in _text(f"{process}/limits").splitlines():
        if line.startswith("Max address space"):
            soft = line[len("Max address space") :].split()[0]
            return Limit(int(soft), "RLIMIT_AS") if soft.isdigit() else None
    return None


def _physical(meminfo: str) -> Limit | None:
    for line in _text(meminfo).splitlines():
        if line.startswith("MemTotal:"):
            return Limit(int(line.split()[1]) * 1024, "physical memory")
    return None


def _number(path: str) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None  # version 2 writes "max" where there is no limit


def _answers(path: str, form: str) -> bool:
    try:
        reading_of(path, form)
    except (OSError, ValueError, StopIteration):
        return False
    return True


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - early and often
            return file.read()
    except OSError:
        return ""

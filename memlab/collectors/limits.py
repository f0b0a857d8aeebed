"""Which memory limit is real: every ceiling above this process, how full each is, and what is left.

A process in a container is told the memory of the host by almost everything; what kills it is the least of
several ceilings. They are read here one by one: each cgroup from the process's own up to the root of what is
mounted (v2, or the memory controller of v1), the address-space and data limits of the process, and the
machine's memory. ``/proc/self/cgroup`` names the group and ``/proc/self/mountinfo`` where that hierarchy is
mounted; inside a container the named path often does not exist, and then the mount's own root is the group.
Swap is never counted as room, and file pages that the kernel would drop first are not counted as used.

Only the standard library is imported, so that a watcher process can use this without site-packages.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Ceiling", "Ceilings", "Machine", "Stalls", "address_room", "cage"]

_KIB = 1024
_UNLIMITED = 1 << 60
"""cgroup v1 writes "no limit" as a number near 2**63, rounded to pages; no machine has 2**60 bytes."""
_MICROSECOND = 1e-6
_V1_FIELDS = 3
_LEAST_MOUNT_FIELDS = 10
_LOOK_AGAIN_S = 1.0
_Limit = tuple[str, int, str, str, str]
"""Source, limit in bytes, folder, and the names of what is used and of what could be dropped."""


@dataclasses.dataclass(frozen=True, slots=True)
class Ceiling:
    """One limit above this process.

    Attributes:
        source: ``cgroup v2 memory.max``, ``cgroup v1 memory.limit_in_bytes``, ``RLIMIT_AS``, ``RLIMIT_DATA``,
            ``physical memory`` or ``cage``; ancestors of a cgroup say how far up they are.
        limit_bytes: the limit.
        used_bytes: what counts against it now, droppable file pages left out; None when it cannot be read.
    """

    source: str
    limit_bytes: int
    used_bytes: int | None

    @property
    def room_bytes(self) -> int | None:
        """What is left under it, never below 0."""
        return None if self.used_bytes is None else max(0, self.limit_bytes - self.used_bytes)


@dataclasses.dataclass(frozen=True, slots=True)
class Ceilings:
    """All ceilings that were found, and why others were not.

    Attributes:
        found: one entry for each ceiling that answers, in no order of weight.
        absent: what could not be read, each with the reason.
    """

    found: tuple[Ceiling, ...]
    absent: dict[str, str]

    @property
    def real(self) -> Ceiling | None:
        """The least limit, None where none is known."""
        return min(self.found, key=lambda c: c.limit_bytes, default=None)

    @property
    def tightest(self) -> Ceiling | None:
        """The ceiling with the least room under it: the one that would be met first."""
        known = [c for c in self.found if c.room_bytes is not None]
        return min(known, key=lambda c: c.room_bytes or 0, default=None)


@dataclasses.dataclass(frozen=True, slots=True)
class Stalls:
    """Time lost to memory pressure, as the kernel counts it (PSI), in seconds since it began to count.

    Attributes:
        some_s: time in which at least one task waited for memory.
        full_s: time in which all tasks did; None where the kernel does not tell.
        source: ``/proc/pressure/memory`` (the whole machine) or ``cgroup memory.pressure`` (the own group).
    """

    some_s: float
    full_s: float | None
    source: str


class cage:  # noqa: N801 - a namespace: the one process-wide fact that a caged child knows of itself
    """The limit of the cage that this process runs in, and the reader of what counts against it.

    Set by the caged child alone, so that whatever runs in there sees its cage as a ceiling like any other.
    """

    limit_bytes: int | None = None
    used: Callable[[], int] | None = None


class Machine:
    """Reads the ceilings of this process.

    Args:
        root: the folder under which ``/proc`` and ``/sys`` lie, so that a recorded tree can be read.
        psutil: returns the psutil module; asked only where ``/proc`` does not answer.
        rlimits: returns the soft limits by name; by default those of the process.
    """

    def __init__(
        self,
        root: str = "/",
        psutil: Callable[[], Any] | None = None,
        rlimits: Callable[[], dict[str, int]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root = root.rstrip("/")
        self._psutil = psutil or _import_psutil
        self._rlimits = rlimits or _own_rlimits
        self._clock = clock
        self._limits: tuple[list[_Limit], str] | None = None
        self._limits_until = 0.0
        self._pressure: tuple[str, str] | None = None

    def ceilings(self) -> Ceilings:
        """Read every ceiling; what cannot be read is absent with its reason."""
        found: list[Ceiling] = []
        absent: dict[str, str] = {}
        for name, read in (
            ("cgroup", self._cgroups),
            ("rlimit", self._process_limits),
            ("physical memory", self._physical),
        ):
            try:
                found += read()
            except _AbsentError as reason:
                absent[name] = str(reason)
            except Exception as error:  # noqa: BLE001 - a probe never raises into the measured program
                absent[name] = _reason(error)
        if cage.limit_bytes is not None:
            found.append(Ceiling("cage", cage.limit_bytes, cage.used() if cage.used is not None else None))
        return Ceilings(tuple(found), absent)

    def available(self) -> int | None:
        """Return what is left under the tightest ceiling that this process shares with others.

        The process's own limits and its cage are left out: this is the machine's, or the container's, room.
        """
        rooms: list[int] = []
        for read in (self._cgroups, self._physical):
            with contextlib.suppress(Exception):  # absent: the other source answers
                rooms += [c.room_bytes for c in read() if c.room_bytes is not None]
        return min(rooms, default=None)

    def stalls(self) -> Stalls:
        """Return the time lost to memory pressure: that of the own cgroup where it is counted, or all.

        Raises:
            OSError: where the kernel does not count it.
            ValueError: where its answer cannot be read.
        """
        if self._pressure is not None:
            try:
                return _parse_stalls(self._read(self._pressure[0]), self._pressure[1])
            except (OSError, ValueError):
                self._pressure = None  # the process was moved to another group
        try:
            folders = [f"{self.v2_folder()}/memory.pressure"]
        except (OSError, ValueError, LookupError):
            folders = []
        failed: Exception = FileNotFoundError(2, "No such file or directory")
        for path in (*folders, "/proc/pressure/memory"):
            source = "cgroup memory.pressure" if path in folders else path
            try:
                stalls = _parse_stalls(self._read(path), source)
            except (OSError, ValueError) as error:
                failed = error
            else:
                self._pressure = path, source
                return stalls
        raise failed

    def v2_folder(self) -> str:
        """Return the folder of the own cgroup v2. Raises LookupError with the reason where there is none."""
        return next(iter(self._v2_folders()))[0]

    def v1_folder(self) -> str:
        """Return the folder of the own group of the v1 memory controller. Raises LookupError likewise."""
        return next(iter(self._v1_folders()))[0]

    # -- cgroups

    def _cgroups(self) -> list[Ceiling]:
        """Return the limits of the cgroups with what counts against each now.

        The limits are looked for at most once a second: that takes milliseconds, what is used microseconds.
        """
        now = self._clock()
        if self._limits is None or now >= self._limits_until:
            self._limits, self._limits_until = self._find_limits(), now + _LOOK_AGAIN_S
        limits, reason = self._limits
        if not limits:
            raise _AbsentError(reason)
        return [
            Ceiling(source, limit, self._used(folder, current, droppable))
            for source, limit, folder, current, droppable in limits
        ]

    def _find_limits(self) -> tuple[list[_Limit], str]:
        found: list[_Limit] = []
        reasons = []
        for name, folders, read in (
            ("v2", self._v2_folders, self._v2_limits),
            ("v1", self._v1_folders, self._v1_limits),
        ):
            try:
                levels = list(folders())
            except _AbsentError as reason:
                reasons.append(f"{name}: {reason}")
                continue
            before = len(found)
            for folder, steps in levels:
                found += read(folder, f" ({steps} up)" if steps else "")
            if len(found) == before:
                reasons.append(f"{name}: no memory limit is set")
        return found, "; ".join(reasons) or "no cgroup"

    def _v2_limits(self, folder: str, where: str) -> list[_Limit]:
        limit = _limit(self._text(f"{folder}/memory.max"))
        if limit is None:
            return []
        return [(f"cgroup v2 memory.max{where}", limit, folder, "memory.current", "inactive_file")]

    def _v1_limits(self, folder: str, where: str) -> list[_Limit]:
        used = (folder, "memory.usage_in_bytes", "total_inactive_file")
        found: list[_Limit] = []
        limit = _limit(self._text(f"{folder}/memory.limit_in_bytes"))
        if limit is not None:
            found.append((f"cgroup v1 memory.limit_in_bytes{where}", limit, *used))
        # The least limit of all ancestors, also of those outside the mount; what they use is not seen.
        inherited = self._stat(f"{folder}/memory.stat", "hierarchical_memory_limit") if not where else 0
        if 0 < inherited < min(limit or _UNLIMITED, _UNLIMITED):
            found.append(("cgroup v1 hierarchical_memory_limit", inherited, *used))
        return found

    def _used(self, folder: str, current: str, droppable: str) -> int | None:
        used = self._number(f"{folder}/{current}")
        return None if used is None else max(0, used - self._stat(f"{folder}/memory.stat", droppable))

    def _v2_folders(self) -> Iterator[tuple[str, int]]:
        group = next((path for _, names, path in self._groups() if not names), None)
        if group is None:
            raise _AbsentError("this process is in no such group")
        yield from self._levels(group, lambda kind, _: kind == "cgroup2")

    def _v1_folders(self) -> Iterator[tuple[str, int]]:
        group = next((path for _, names, path in self._groups() if "memory" in names.split(",")), None)
        if group is None:
            raise _AbsentError("no memory controller")
        yield from self._levels(
            group, lambda kind, options: kind == "cgroup" and "memory" in options.split(",")
        )

    def _groups(self) -> Iterator[tuple[str, str, str]]:
        """Yield hierarchy, controllers and path of each group that this process is in."""
        for line in self._read("/proc/self/cgroup").splitlines():
            parts = line.split(":", 2)
            if len(parts) == _V1_FIELDS:
                yield parts[0], parts[1], parts[2]

    def _levels(self, group: str, wanted: Callable[[str, str], bool]) -> Iterator[tuple[str, int]]:
        """Yield the group's folder and those above it, as far up as the hierarchy is mounted here."""
        mounts = [(root, point) for root, point, kind, options in self._mounts() if wanted(kind, options)]
        if not mounts:
            raise _AbsentError("its hierarchy is not mounted")
        for root, point in mounts:
            inside = _below(group, root)
            if inside is None or not self._is_folder(point + inside):
                continue
            steps = [part for part in inside.split("/") if part]
            for up in range(len(steps) + 1):
                yield "/".join([point, *steps[: len(steps) - up]]), up
            return
        # In a container the path that the kernel names lies outside: what is mounted is the group itself.
        there = next((point for _, point in mounts if self._is_folder(point)), None)
        if there is None:
            raise _AbsentError("its folder is not there")
        yield there, 0

    def _mounts(self) -> Iterator[tuple[str, str, str, str]]:
        """Yield root, mount point, file system and its options of every cgroup mount."""
        for line in self._read("/proc/self/mountinfo").splitlines():
            fields = line.split()
            if len(fields) < _LEAST_MOUNT_FIELDS or "-" not in fields:
                continue
            dash = fields.index("-")
            if fields[dash + 1].startswith("cgroup"):
                yield _plain(fields[3]), _plain(fields[4]), fields[dash + 1], fields[-1]

    # -- process and machine

    def _process_limits(self) -> list[Ceiling]:
        limits = self._rlimits()
        if not limits:
            raise _AbsentError("no limit on address space or data")
        fields = {"RLIMIT_AS": "VmSize", "RLIMIT_DATA": "VmData"}
        try:
            status = self._read("/proc/self/status")
        except OSError:
            status = ""
        return [Ceiling(name, limit, _field(status, fields[name])) for name, limit in limits.items()]

    def _physical(self) -> list[Ceiling]:
        try:
            meminfo = self._read("/proc/meminfo")
            total, available = _field(meminfo, "MemTotal"), _field(meminfo, "MemAvailable")
        except OSError:
            total = available = None
        if total is None or available is None:
            memory = self._psutil().virtual_memory()
            total, available = int(memory.total), int(memory.available)
        return [Ceiling("physical memory", total, max(0, total - available))]

    # -- files

    def _read(self, path: str) -> str:
        with open(self._root + path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            return file.read()

    def _text(self, path: str) -> str:
        try:
            return self._read(path)
        except OSError:
            return ""

    def _number(self, path: str) -> int | None:
        text = self._text(path).strip()
        return int(text) if text.isdigit() else None

    def _stat(self, path: str, field: str) -> int:
        found = re.search(rf"^{field} (\d+)$", self._text(path), re.MULTILINE)
        return int(found.group(1)) if found else 0

    def _is_folder(self, path: str) -> bool:
        return os.path.isdir(self._root + path)  # noqa: PTH112


def address_room() -> int | None:
    """Return what is left of this process's address space under its own limits; None where there is no limit.

    It reads one small file and imports nothing but ``resource``: for who has no memory left.
    """
    try:
        found = Machine()._process_limits()  # noqa: SLF001 - of this module
    except _AbsentError:
        return None
    rooms = [ceiling.room_bytes for ceiling in found]
    return min((room for room in rooms if room is not None), default=None)


class _AbsentError(LookupError):
    """Carries the reason why a ceiling is not there."""


def _limit(text: str) -> int | None:
    """Return a limit in bytes; None for ``max``, a number that means none, and what is no number."""
    text = text.strip()
    return int(text) if text.isdigit() and int(text) < _UNLIMITED else None


def _below(group: str, root: str) -> str | None:
    """Return the part of a group's path below a mount's root, with its slash; None when it is not below.

    >>> _below("/docker/ab/x", "/docker/ab"), _below("/docker/ab", "/docker/ab"), _below("/a", "/b")
    ('/x', '', None)
    """
    if ".." in group.split("/"):
        return None  # the group lies above the root of this process's cgroup namespace
    root = root.rstrip("/")
    if group == root or group.startswith(root + "/"):
        return group[len(root) :].rstrip("/")
    return None


def _plain(text: str) -> str:
    """Undo the octal escapes of mountinfo."""
    return re.sub(r"\\([0-7]{3})", lambda m: chr(int(m.group(1), 8)), text)


def _field(text: str, name: str) -> int | None:
    found = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
    return int(found.group(1)) * _KIB if found else None


def _parse_stalls(text: str, source: str) -> Stalls:
    totals = {
        kind: int(total) * _MICROSECOND
        for kind, total in re.findall(r"^(some|full) .*\btotal=(\d+)", text, re.MULTILINE)
    }
    if "some" not in totals:
        raise ValueError("no 'some' line with a total")
    return Stalls(totals["some"], totals.get("full"), source)


def _own_rlimits() -> dict[str, int]:
    try:
        import resource
    except ImportError:  # Windows has none of these
        return {}
    found = {}
    for name in ("RLIMIT_AS", "RLIMIT_DATA"):
        soft, _ = resource.getrlimit(getattr(resource, name))
        if soft != resource.RLIM_INFINITY and 0 <= soft < _UNLIMITED:
            found[name] = soft
    return found


def _import_psutil() -> Any:
    import psutil

    return psutil


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {error}"

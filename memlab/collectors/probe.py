"""Readings of the own process: each metric from the first source of its chain that answers.

RSS comes from ``/proc/self/statm`` over a descriptor that stays open (a reading takes 1.5 µs), else from
psutil. Where neither answers it is absent: getrusage knows only the greatest RSS so far and is used for
nothing else. USS and PSS make the kernel walk every mapping, so they are read only when asked for by name.
A metric that cannot be read is None with a reason, never 0. What touches the machine (files, psutil,
getrusage, clock) is a parameter.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol, Self

from memlab.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["METRICS", "Files", "Metric", "Probe", "ProcFiles", "Reading", "status_bytes"]

METRICS = ("rss_bytes", "peak_rss_bytes", "allocated_blocks", "traced_bytes")
"""What ``Probe.read`` reads when it is not told: all that costs microseconds."""

_KIB = 1024
_STATM_FIELDS = 7
_ENOUGH = 4096


class Files(Protocol):
    """The file calls that a probe makes, so that a test can bring a machine of its own."""

    def open(self, name: str) -> int:
        """Open for reading and return a descriptor."""

    def pread(self, descriptor: int, size: int) -> bytes:
        """Read at most ``size`` bytes from the start."""

    def close(self, descriptor: int) -> None:
        """Close a descriptor."""

    def identity(self, descriptor: int) -> object:
        """Return what tells one open file from another under the same number."""

    def read(self, name: str) -> bytes:
        """Return a whole file."""

    def write(self, name: str, data: bytes) -> None:
        """Write to a file that exists."""


class ProcFiles:
    """Files of the own process under ``/proc``."""

    def __init__(self, root: str = "/proc/self") -> None:
        self.root = root

    def open(self, name: str) -> int:
        """Open for reading; the descriptor is not inherited by programs that the process starts."""
        return os.open(f"{self.root}/{name}", os.O_RDONLY)

    def pread(self, descriptor: int, size: int) -> bytes:
        """Read from the start: the kernel makes the text anew."""
        return os.pread(descriptor, size, 0)

    def close(self, descriptor: int) -> None:
        """Close a descriptor."""
        os.close(descriptor)

    def identity(self, descriptor: int) -> object:
        """Return what tells one open file from another under the same number."""
        found = os.fstat(descriptor)
        return found.st_dev, found.st_ino

    def read(self, name: str) -> bytes:
        """Return a whole file."""
        with open(f"{self.root}/{name}", "rb", buffering=0) as file:  # noqa: PTH123 - half a Path's cost
            return file.read()

    def write(self, name: str, data: bytes) -> None:
        """Write to a file that exists."""
        with open(f"{self.root}/{name}", "wb", buffering=0, opener=_only_write) as file:
            file.write(data)


def _only_write(path: str, _flags: int) -> int:
    return os.open(path, os.O_WRONLY)  # neither made nor cut to nothing


@dataclasses.dataclass(frozen=True, slots=True)
class Metric:
    """A metric that answers: its name, its source, and the call that reads it.

    ``read`` returns an int, or raises UnavailableError when the metric stopped answering.
    """

    name: str
    source: str
    read: Callable[[], int]


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """What was read at one moment.

    Attributes:
        time_s: the probe's clock, in seconds.
        values: metric -> value, None where it could not be read.
        sources: metric -> where the value comes from.
        absent: metric -> why there is no value.
    """

    time_s: float
    values: Mapping[str, int | None]
    sources: Mapping[str, str]
    absent: Mapping[str, str]

    def __getitem__(self, metric: str) -> int | None:
        return self.values[metric]


class Probe:
    """Reads the own process. Close it, or use it in ``with``: it keeps one descriptor open.

    Safe in threads, and in a forked child, where it reads the child.

    Args:
        files: the process's files. Default: ``/proc/self``.
        psutil: returns the psutil module; called only when a chain gets that far.
        rusage: returns the greatest RSS so far in bytes, from getrusage.
        clock: monotonic, in seconds.
        page_size: bytes in a page; None asks the system when it is needed.

    Example:
        >>> with Probe() as probe:
        ...     reading = probe.read("rss_bytes", "allocated_blocks")
        >>> reading["allocated_blocks"] > 1000, reading.sources["allocated_blocks"]
        (True, 'sys.getallocatedblocks')
    """

    def __init__(
        self,
        files: Files | None = None,
        psutil: Callable[[], Any] | None = None,
        rusage: Callable[[], int] | None = None,
        clock: Callable[[], float] = time.monotonic,
        page_size: int | None = None,
    ) -> None:
        self.clock = clock
        self._files = files or ProcFiles()
        self._statm = _KeptOpen(self._files, "statm")
        self._psutil = psutil or _import_psutil
        self._page_size = page_size
        peak_of_process = rusage or _rusage_peak
        self._chains: dict[str, _Chain] = {
            "rss_bytes": _Chain([("statm", self._statm_rss), ("psutil", self._psutil_rss)]),
            "peak_rss_bytes": _Chain([("vmhwm", self._status_peak), ("getrusage", peak_of_process)]),
            "uss_bytes": _Chain([("smaps_rollup", self._rollup_uss), ("psutil", self._psutil_uss)]),
            "pss_bytes": _Chain([("smaps_rollup", self._rollup_pss), ("psutil", self._psutil_pss)]),
            "allocated_blocks": _Chain([("sys.getallocatedblocks", _allocated_blocks)]),
            "traced_bytes": _Chain([("tracemalloc", _traced_bytes)]),
            "children_rss_bytes": _Chain([("psutil", self._psutil_children)]),
            "family_rss_bytes": _Chain([("psutil", self._family_rss)]),
            "family_uss_bytes": _Chain([("psutil", lambda: self._family_full("uss"))]),
            "family_pss_bytes": _Chain([("psutil", lambda: self._family_full("pss"))]),
        }

    def read(self, *metrics: str) -> Reading:
        """Read the named metrics, or those of ``METRICS``, one after the other.

        ``peak_rss_bytes`` counts from the start of the process, or from the last reset of the kernel's
        mark. ``children_rss_bytes`` is the sum over all descendants, ``family_rss_bytes`` adds the process
        itself: pages that they share count in each. ``family_uss_bytes`` and ``family_pss_bytes`` are the
        same sum of what belongs to each alone, or of each one's share.

        Raises:
            KeyError: for a metric that no chain knows.
        """
        values: dict[str, int | None] = {}
        sources: dict[str, str] = {}
        absent: dict[str, str] = {}
        moment = self.clock()
        for name in metrics or METRICS:
            chain = self._chains[name]
            try:
                values[name] = chain.read()
                sources[name] = chain.source
            except UnavailableError as error:
                values[name] = None
                absent[name] = str(error)
        return Reading(moment, values, sources, absent)

    def value(self, metric: str) -> int | None:
        """Return one metric, or None where it cannot be read."""
        try:
            return self._chains[metric].read()
        except UnavailableError:
            return None

    def metric(self, name: str) -> Metric:
        """Return a metric with its source, for those who read it many times.

        Raises:
            UnavailableError: with the reason, when no source answers.
        """
        chain = self._chains[name]
        chain.read()
        return Metric(name, chain.source, chain.read)

    def close(self) -> None:
        """Close the descriptor; a later reading opens it again."""
        self._statm.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    # -- sources

    def _statm_rss(self) -> int:
        fields = self._statm.read().split()
        if len(fields) != _STATM_FIELDS:
            # User code closed our descriptor and its number names another file now.
            self._statm.forget()
            raise UnavailableError("/proc/self/statm does not read as expected")
        if self._page_size is None:
            self._page_size = os.sysconf("SC_PAGE_SIZE")
        return int(fields[1]) * self._page_size

    def _status_peak(self) -> int:
        return status_bytes(self._files.read("status"), b"VmHWM")

    def _rollup_pss(self) -> int:
        return _rollup_bytes(self._files.read("smaps_rollup"), b"Pss:")

    def _rollup_uss(self) -> int:
        return _rollup_bytes(self._files.read("smaps_rollup"), b"Private_")

    def _psutil_rss(self) -> int:
        return int(self._psutil().Process().memory_info().rss)

    def _psutil_uss(self) -> int:
        return int(self._psutil().Process().memory_full_info().uss)

    def _psutil_pss(self) -> int:
        return int(self._psutil().Process().memory_full_info().pss)

    def _psutil_children(self) -> int:
        psutil = self._psutil()
        total = 0
        for child in psutil.Process().children(recursive=True):
            try:
                total += child.memory_info().rss
            except psutil.Error:  # it ended meanwhile
                continue
        return total

    def _family_full(self, name: str) -> int:
        psutil = self._psutil()
        total = self._chains[f"{name}_bytes"].read()
        for child in psutil.Process().children(recursive=True):
            try:
                total += getattr(child.memory_full_info(), name)
            except psutil.Error:  # it ended meanwhile
                continue
        return int(total)

    def _family_rss(self) -> int:
        return self._chains["rss_bytes"].read() + self._psutil_children()


class _Chain:
    """Sources in order of preference. The first that answers is kept until it fails."""

    def __init__(self, sources: Sequence[tuple[str, Callable[[], int]]]) -> None:
        self._sources = sources
        self._chosen: tuple[str, Callable[[], int]] | None = None

    @property
    def source(self) -> str:
        """Name of the source that answered last, empty before."""
        return self._chosen[0] if self._chosen else ""

    def read(self) -> int:
        """Return the value, or raise UnavailableError with each source's reason."""
        if self._chosen is not None:
            try:
                return self._chosen[1]()
            except Exception:  # noqa: BLE001 - whatever it was, the chain is asked again below
                self._chosen = None
        reasons = []
        for source in self._sources:
            try:
                value = source[1]()
            except Exception as error:  # noqa: BLE001 - a probe never raises into the measured program
                reasons.append(f"{source[0]}: {_reason(error)}")
            else:
                self._chosen = source
                return value
        raise UnavailableError("; ".join(reasons))


class _KeptOpen:
    """A file of ``/proc/self`` that stays open, for the process that reads it."""

    # On the class: an interrupt may strike before __init__ has run.
    _descriptor: int | None = None
    _identity: object = None
    _pid = 0

    def __init__(self, files: Files, name: str) -> None:
        self._files = files
        self._name = name

    def read(self) -> bytes:
        if self._descriptor is None or self._pid != os.getpid():  # a fork's descriptor is the parent's file
            self.close()
            self._identity = None
            self._pid = os.getpid()
            self._descriptor = self._files.open(self._name)
            self._identity = self._files.identity(self._descriptor)
        return self._files.pread(self._descriptor, _ENOUGH)

    def close(self) -> None:
        descriptor = self._descriptor
        if descriptor is None:
            return
        try:
            # A program that closes all descriptors may have given the number to a file of its own.
            if self._identity is None or self._files.identity(descriptor) == self._identity:
                self._files.close(descriptor)
        except OSError:
            pass
        # Only now: interrupted before, it is closed again, when the identity tells whose it is.
        self._descriptor = None

    def forget(self) -> None:
        self._descriptor = None

    def __del__(self) -> None:
        self.close()


def status_bytes(status: bytes, field: bytes) -> int:
    """Return a field of ``/proc/self/status`` in bytes.

    >>> status_bytes(b"VmRSS:     48 kB", b"VmRSS")
    49152
    """
    for line in status.splitlines():
        if line.startswith(field + b":"):
            return int(line.split()[1]) * _KIB
    raise UnavailableError(f"no {field.decode()} in /proc/self/status")


def _rollup_bytes(rollup: bytes, prefix: bytes) -> int:
    found = [line.split() for line in rollup.splitlines() if line.startswith(prefix)]
    if not found:
        raise UnavailableError(f"no {prefix.decode()} in /proc/self/smaps_rollup")
    return sum(int(fields[1]) for fields in found) * _KIB


def _allocated_blocks() -> int:
    count = sys.getallocatedblocks()
    if count == 0:
        raise UnavailableError("this interpreter runs without its own allocator and does not count blocks")
    return count


def _traced_bytes() -> int:
    import tracemalloc

    if not tracemalloc.is_tracing():
        raise UnavailableError("nothing is traced; tracemalloc.start() begins it")
    return tracemalloc.get_traced_memory()[0]


def _rusage_peak() -> int:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if peak == 0:
        raise UnavailableError("the system does not count ru_maxrss")
    return peak if sys.platform == "darwin" else peak * _KIB


def _import_psutil() -> Any:
    import psutil

    return psutil


def _reason(error: Exception) -> str:
    if isinstance(error, UnavailableError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {error}"

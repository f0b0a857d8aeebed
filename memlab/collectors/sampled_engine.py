"""The sampled engine: one owner of the allocators' hooks, and what it reads from them.

The hooks (``_native/sites.c``) belong to the process, so one trace at a time has them. What can go wrong is
refused with one sentence before anything is changed, or found out when a snapshot is taken and said in its
notes: a tracer that began before and was stopped meanwhile takes our hooks out with its own. A forked child
is not traced. Libraries that are loaded while it runs are followed when a submodule of theirs is imported, at
each snapshot, and before that not at all.
"""

from __future__ import annotations

import atexit
import dataclasses
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from memlab.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

    from memlab.records.snapshot import Snapshot

__all__ = ["ENGINE", "SampledEngine", "SampledTables", "why_unavailable"]

ENGINE = "sampled"
MEASURES = ("live", "allocated")
_BUDGET = 64 * 1024 * 1024
_EVERY_DOMAIN = 0b111
_FOLLOWED = ("numpy._core._multiarray_umath", "numpy.core._multiarray_umath")

_owner: SampledEngine | None = None
_owning = threading.RLock()


def why_unavailable() -> str:
    """Return why there is no sampled engine in this Python; empty when there is one."""
    return "" if _native() is not None else "the sampling extension was not built for this Python"


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class SampledTables:
    """What the hooks had recorded at one moment.

    Attributes:
        read: the tables, as the extension gives them.
        thread_names: place of a thread in its table -> name, of those that lived when someone looked.
        sample_bytes: mean number of bytes between two samples.
        frames: most frames kept of each stack.
        samples: number of samples since the start.
        notes: what a reader must know.
    """

    read: Mapping[str, Any]
    thread_names: Mapping[int, str]
    sample_bytes: int
    frames: int
    samples: int
    notes: tuple[str, ...]


class SampledEngine:
    """A sample of allocations, an engine of ``memlab.trace``.

    Args:
        sample_bytes: mean number of bytes between two samples.
        frames: frames kept of each stack, up to 128.
        aliases: labels for code file names. Default: those of notebook cells.
        budget_bytes: most memory that its tables take.
        seed: of the gaps between samples, for tests; 0: of the clock's.
    """

    engine = ENGINE
    measures: tuple[str, ...] = MEASURES

    def __init__(
        self,
        sample_bytes: int,
        frames: int,
        aliases: Mapping[str, str] | None = None,
        *,
        budget_bytes: int = _BUDGET,
        seed: int = 0,
    ) -> None:
        self.sample_bytes = sample_bytes
        self.frames = frames
        self._aliases = aliases
        self._budget = budget_bytes
        self._seed = seed
        self._pid = 0
        self._names: dict[int, str] = {}
        self._last: SampledTables | None = None
        self._watch = _Watch()
        self._notes: tuple[str, ...] = ()

    def begin(self) -> None:
        """Put the hooks in.

        Raises:
            UnavailableError: when it cannot run here, or runs already.
        """
        global _owner  # noqa: PLW0603 - the hooks are the process's
        from memlab.collectors.interpreters import count_interpreters

        native = _required()
        with _owning:
            if native.state()["running"] or (_owner is not None and _owner.is_running):
                raise UnavailableError(
                    "tracing a sample: another sampled trace runs in this process; stop it first, or take "
                    "its snapshot"
                )
            if count_interpreters() > 1:
                raise UnavailableError(
                    "tracing a sample: more than one interpreter lives in the process, and blocks of the "
                    "others have no stack; end the others first"
                )
            _at_exit()
            if "numpy" in sys.modules:  # else its import is not the traced program's
                from memlab.collectors.snapshot_maker import warm_up

                warm_up()
            self._pid = os.getpid()
            _owner = self
            sys.meta_path.insert(0, self._watch)
            native.begin(float(self.sample_bytes), self.frames, self._budget, self._seed)

    @property
    def is_running(self) -> bool:
        """Tell whether this process's allocations are sampled by this trace."""
        return _owner is self and self._pid == os.getpid()

    @property
    def has_tables(self) -> bool:
        """Tell whether there is something to read: while it runs, or what was kept at its end."""
        return self._pid == os.getpid() and (_owner is self or self._last is not None)

    def tables(self) -> SampledTables:
        """Return what is recorded so far, or was when it ended. Reads in C; nothing is labelled yet.

        Raises:
            UnavailableError: in a forked child of the process that traced.
        """
        if self._pid != os.getpid():
            raise UnavailableError(
                "taking a snapshot of a trace: it began before a fork; the child is not traced, begin one "
                "there"
            )
        return self._last if self._last is not None else self._read()

    def snapshot(self, label: str, measure: str, sources: str) -> Snapshot:
        """Return a snapshot of ``live`` blocks, or of all that were ``allocated`` since the start."""
        from memlab._base.paths import PathLabels
        from memlab.collectors.cell_names import cell_aliases
        from memlab.collectors.sampled_maker import sampled_snapshot
        from memlab.collectors.trace_blocks import without_collector

        labels = PathLabels(cell_aliases() if self._aliases is None else self._aliases)
        return without_collector(
            lambda: sampled_snapshot(self.tables(), measure, labels, label, sources=sources)
        )

    def end(self, keep: bool = True) -> None:
        """Take the hooks out, and keep what was recorded. Safe to repeat."""
        global _owner  # noqa: PLW0603
        with _owning:
            if _owner is not self:
                return
            try:
                if keep and self.is_running and self._last is None:
                    self._last = self._read()
            finally:
                if self._watch in sys.meta_path:
                    sys.meta_path.remove(self._watch)
                if self.is_running:
                    _required().end()
                _owner = None

    def _read(self) -> SampledTables:
        native = _required()
        native.follow()
        state = native.state()
        read = native.read()
        self._name_threads(read)
        return SampledTables(
            read=read,
            thread_names=dict(self._names),
            sample_bytes=self.sample_bytes,
            frames=self.frames,
            samples=state["samples"],
            notes=_notes_of(state),
        )

    def _name_threads(self, read: Any) -> None:
        """Note the names of threads that live; a number is never given out again, an identifier is."""
        import struct

        numbers = struct.unpack(f"={len(read['threads']) // 8}Q", read["threads"])
        idents = struct.unpack(f"={len(read['idents']) // 8}Q", read["idents"])
        living = frozenset(read["living"])
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        for place, (number, ident) in enumerate(zip(numbers, idents, strict=True)):
            if number in living and ident in names:
                self._names[place] = names[ident]


def _notes_of(state: Any) -> tuple[str, ...]:
    notes = []
    if state["domains"] != _EVERY_DOMAIN:
        notes.append(
            "interrupted: a tracer that began before this one was stopped meanwhile and took its hooks out; "
            "blocks are missing since, and some that are listed may be freed. Stop the one that began last "
            "first"
        )
    if state["lost"]:
        notes.append(
            f"samples that did not fit into the tables: {state['lost']:,} of {state['samples']:,}; figures "
            "are too small by their part"
        )
    if "numpy" in sys.modules and not state["followed"]:
        notes.append("NumPy's arrays are not in it: on this platform its reports cannot be followed")
    return tuple(notes)


class _Watch:
    """A finder that finds nothing: it sees that NumPy has been loaded, at the next import after that."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        """Follow NumPy's reports when it is there; every module is left to the finders behind."""
        del name, path, target
        if any(module in sys.modules for module in _FOLLOWED):
            native = _native()
            if native is not None and native.state()["running"]:
                native.follow()
            if self in sys.meta_path:
                sys.meta_path.remove(self)


def _native() -> Any:
    try:
        from memlab._native import sites
    except ImportError:
        return None
    return sites


def _required() -> Any:
    native = _native()
    if native is None:
        raise UnavailableError(f"tracing a sample: {why_unavailable()}")
    return native


_registered = False


def _at_exit() -> None:
    """Take the hooks out before the interpreter ends, whoever forgot to."""
    global _registered  # noqa: PLW0603
    if not _registered:
        _registered = True
        atexit.register(_end_owner)


def _end_owner() -> None:
    if _owner is not None:
        _owner.end()

"""Running frames and their local variables, read without changing the program that runs.

Since Python 3.11 the locals of a running frame are in no Python object: the collector does not see them,
and they must be asked for. Python 3.13 gives a view. On 3.12 a public C function gives one variable at a
time. On 3.11 ``frame.f_locals`` writes all of them into a dictionary that the frame then keeps, so that a
local outlives its ``del``; what was written is taken out again, except where somebody else holds that
dictionary or a tracer may be about to write it back into the frame. A ``locals()`` dictionary that someone
on 3.11 still holds is brought up to date by this, as by any call of ``locals()``; nothing else changes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import inspect
import os
import sys
import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from memlab._base.paths import OWN_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType, FrameType

__all__ = ["RunningFrame", "collector_at_rest", "is_own", "local_variables", "namespace_of", "running_frames"]

_OWN_PREFIX = OWN_FOLDER + os.sep
_GENERATORS = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
_ONLY_US = 3  # the frame's own reference, our variable, and getrefcount's argument


@dataclasses.dataclass(frozen=True, slots=True)
class RunningFrame:
    """A frame on some thread's stack. Lives only as long as a search."""

    frame: FrameType
    thread: int
    """The thread's identifier, as ``threading.get_ident`` has it."""


def running_frames() -> list[RunningFrame]:
    """Return the frames of all threads, the caller's thread first, innermost first."""
    here = threading.get_ident()
    with collector_at_rest():
        tops: dict[int, FrameType | None] = dict(sys._current_frames())  # noqa: SLF001 - the documented way
    # Not this frame: a list in its own frame's locals would be a cycle.
    frame = tops.pop(here, None)
    stacks = [(here, frame.f_back if frame is not None else None), *tops.items()]
    del frame
    found = []
    for thread, top in stacks:
        at = top
        while at is not None:
            if thread == here or not _may_dangle(at):
                found.append(RunningFrame(at, thread))
            at = at.f_back
    return found


def _may_dangle(frame: FrameType) -> bool:
    """Tell whether reading a frame of another thread could read freed memory.

    Before Python 3.13.6 the view of a generator's frame outlives the generator (python/cpython#125723), and
    another thread may drop one at any time. What such a frame holds is then not seen.
    """
    return (3, 13) <= sys.version_info < (3, 13, 6) and bool(frame.f_code.co_flags & _GENERATORS)


@contextlib.contextmanager
def collector_at_rest() -> Iterator[None]:
    """Keep the collector from running while the interpreter is asked about all threads.

    Before Python 3.12 it answers with its list of threads locked. A collection in there runs finalizers, one
    of which may let another thread run that needs that lock, to begin or to end: both wait for ever.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def is_own(frame: FrameType) -> bool:
    """Tell whether a frame runs memlab's code."""
    name = frame.f_code.co_filename
    return type(name) is str and name.startswith(_OWN_PREFIX)


def local_variables(frame: FrameType) -> list[tuple[str, Any]]:
    """Return names and values of a function's variables, cells' contents included; unbound ones left out.

    Empty for a module's or class's frame: see ``namespace_of``.
    """
    code = frame.f_code
    if not code.co_flags & inspect.CO_OPTIMIZED:
        return []
    if sys.version_info >= (3, 13):
        return [(name, value) for name, value in frame.f_locals.items() if type(name) is str]
    if sys.version_info >= (3, 12):
        with contextlib.suppress(ImportError, AttributeError):  # a build without ctypes
            return _asked_one_by_one(frame)
    return _written_out(frame)


def namespace_of(frame: FrameType) -> Any:
    """Return the namespace in which a module's or class's body runs; None for a function's frame.

    A class body's namespace may be of any type. It is the real one, so it must only be looked at.
    """
    code = frame.f_code
    if code.co_flags & inspect.CO_OPTIMIZED:
        return None
    if sys.version_info < (3, 13) and (code.co_cellvars or code.co_freevars):
        return None  # reading it would store the cells' contents in it
    return frame.f_locals


def _names(code: CodeType) -> dict[str, None]:
    return dict.fromkeys((*code.co_varnames, *code.co_cellvars, *code.co_freevars))


@lru_cache(maxsize=1)
def _get_var() -> Any:
    import ctypes

    # A prototype of our own: argument types set on ctypes.pythonapi's attribute would be everybody's.
    prototype = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object, ctypes.py_object)
    return prototype(("PyFrame_GetVar", ctypes.pythonapi))


def _asked_one_by_one(frame: FrameType) -> list[tuple[str, Any]]:
    ask = _get_var()
    found = []
    for name in _names(frame.f_code):
        with contextlib.suppress(NameError):  # unbound
            found.append((name, ask(frame, name)))
    return found


def _written_out(frame: FrameType) -> list[tuple[str, Any]]:
    names = _names(frame.f_code)
    written = frame.f_locals
    found = [(name, value) for name, value in list(written.items()) if name in names]
    # A trace function that runs for this frame has what it finds here written back, and what it does not
    # find deleted from the frame: leave everything as it is whenever someone traces.
    traced = sys.gettrace() is not None or threading.gettrace() is not None or frame.f_trace is not None
    if not traced and sys.getrefcount(written) == _ONLY_US:
        for name in names:
            written.pop(name, None)
    return found

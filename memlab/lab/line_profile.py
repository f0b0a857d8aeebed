"""Memory line by line: ``LineProfiler``, and the decorator ``profile`` that people know from memory_profiler.

A profiler follows code objects, wherever they run: functions of a notebook's cell, methods, generators,
coroutines, in any thread. The functions themselves stay what they are and nothing is put around them. Only
``profile`` wraps, since it has to know when a call has ended, and its wrapper is of the function's own kind.
"""

from __future__ import annotations

import functools
import inspect
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Self

from memlab._base.paths import PathLabels
from memlab._base.safety import clean, instance_type_name
from memlab._base.source import source_block
from memlab.collectors.allocator import LITTLE_BYTES, allocator_cache, unseen
from memlab.collectors.cell_names import cell_aliases
from memlab.collectors.gauges import make_gauge
from memlab.collectors.high_water import Region
from memlab.collectors.line_engine import RESOLUTION_S, LineSession
from memlab.errors import UnavailableError, UsageError
from memlab.lab.profiled_code import find_code, first_line, last_line
from memlab.records.columns import ints
from memlab.records.line_profile import LineProfile, ProfiledFunction, Stretch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import CodeType, TracebackType

__all__ = ["LineProfiler", "profile"]

_MOST_LINES = 20_000


class LineProfiler:
    """Measures the lines of functions while it runs. Use it in ``with``, or call ``start`` and ``stop``.

    Args:
        functions: what to follow, see ``add``.
        backend: memory_profiler's name of what is read: ``psutil`` (RSS), ``psutil_uss``, ``psutil_pss``,
            ``tracemalloc`` (what Python's allocators gave out; starts the tracer if nobody traces).
        include_children: add the memory of all child processes; milliseconds for each line.
        exact: use the kernel's high-water mark for the peaks within lines; that lowers ``ru_maxrss`` for
            other readers of the process.
        resolution_s: no second reading within so many seconds of the last; 0 reads at each line.
        aliases: labels for code file names, e.g. of notebook cells.

    Raises:
        UsageError: for an unknown backend, or something that has no Python code.

    Example:
        >>> def work():
        ...     block = bytearray(50_000_000)
        ...     del block
        >>> with LineProfiler(work) as profiler:
        ...     work()
        >>> result = profiler.result
        >>> result.occurrences.tolist(), bool(result.increment_bytes.sum() < 10_000_000)
        ([1, 1, 1], True)
    """

    def __init__(
        self,
        *functions: Any,
        backend: str | None = None,
        include_children: bool = False,
        exact: bool = True,
        resolution_s: float = RESOLUTION_S,
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        self._gauge = make_gauge(backend, include_children, exact)
        self._session = LineSession(self._gauge, resolution_s)
        self._aliases = dict(aliases or {})
        self._codes: dict[CodeType, str] = {}
        self._stretches: list[Stretch] = []
        self._result: LineProfile | None = None
        self._failed: str = ""
        self._cached: int | None = None
        for function in functions:
            self.add(function)

    def add(self, function: Any) -> None:
        """Follow a function, method, property, class (its own functions), generator or code object.

        A decorated function is followed inside its decorators, and functions that are defined in it too.

        Raises:
            UsageError: when it has no Python code, or is memlab's own.
        """
        for name, code in find_code(function):
            if code not in self._session.tables:  # a nested one has its lines in the outer one's table
                self._codes[code] = name
                self._session.add(code, len(self._codes) - 1)

    def __call__(self, function: Any = None, precision: int = 1) -> Any:  # noqa: ARG002 - memory_profiler's
        """Follow a function and return it as it is, so that a profiler serves as a decorator."""
        if function is None:
            return self
        self.add(function)
        return function

    def timestamp(self, name: str = "<block>") -> _Stretch:
        """Return a context manager that measures a block: its time, what it left, and its peak."""
        return _Stretch(self._stretches, clean(str(name)))

    def start(self) -> Self:
        """Begin.

        Raises:
            UnavailableError: before Python 3.12, when somebody else uses ``sys.settrace``; or when memory
                cannot be read.
            UsageError: when it has begun before.
        """
        if self._result is not None or self._session.running:
            raise UsageError("profiling lines: this profiler was started before; make a new one")
        self._cached = allocator_cache()
        try:
            self._session.start()
            return self  # noqa: TRY300 - here, so that an interrupt just before it is undone as well
        except BaseException:
            self._session.stop()
            raise

    def stop(self) -> LineProfile:
        """End, and return what was measured. A second call returns the same."""
        try:
            self._session.stop()
            if self._result is None:
                self._result = self._finished()
        finally:
            self._session.stop()
        return self._result

    @property
    def result(self) -> LineProfile:
        """What was measured.

        Raises:
            UsageError: while it runs.
        """
        if self._result is None:
            raise UsageError("reading a line profile: it is there when the profiler has ended")
        return self._result

    def failed(self, error: BaseException) -> None:
        """Note that an exception ended what is measured."""
        self._failed = instance_type_name(error).removeprefix("builtins.")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is not None:
                self.failed(error)
            self.stop()
        finally:
            self._session.stop()  # does nothing, unless an interrupt struck

    def _finished(self) -> LineProfile:
        labels = PathLabels(cell_aliases() | self._aliases)
        functions: list[ProfiledFunction] = []
        columns: list[tuple[int, ...]] = []
        source: list[str] = []
        has_rise = bool(self._gauge.peak_source)
        for table, (code, name) in enumerate(self._codes.items()):
            label = labels.label(code.co_filename)
            first = first_line(code)
            functions.append(ProfiledFunction(clean(name or label), label, first))
            rows = self._session.rows(table)
            last = max(last_line(code), first)
            lines = range(first, last + 1) if last - first < _MOST_LINES else sorted(rows)
            texts = source_block(code.co_filename, first, last)
            for line in lines:
                columns.append((table, line, *rows.get(line, (0, 0, 0, 0))))
                source.append(texts[line - first] if line - first < len(texts) else "")
        each: list[tuple[int, ...]] = list(zip(*columns, strict=True)) if columns else [()] * 6
        of, at, occurrences, increment, usage, rise = each
        notes = list(self._session.notes)
        if self._gauge.metric == "rss_bytes" and has_rise and any(occurrences) and max(rise) < LITTLE_BYTES:
            notes.append(unseen(self._cached))
        if self._failed:
            notes.append(f"{self._failed} ended what was measured; the figures are those until then.")
        return LineProfile(
            functions=tuple(functions),
            function=ints(of),
            line=ints(at),
            occurrences=ints(occurrences),
            increment_bytes=ints(increment),
            usage_bytes=ints(usage),
            rise_bytes=ints(rise if has_rise else ()),
            source=tuple(source),
            metric=self._gauge.metric,
            sources={"value": self._gauge.source} | ({"peak": self._gauge.peak_source} if has_rise else {}),
            absent={} if has_rise else {"peak": self._gauge.reason or "it was not read"},
            stretches=tuple(self._stretches),
            complete=not self._failed,
            notes=tuple(notes),
        )


class _Stretch:
    """A named block; appended to the profiler's list when it ends."""

    def __init__(self, stretches: list[Stretch], label: str) -> None:
        self._stretches = stretches
        self._label = label
        self._region = Region()
        self._gauge = make_gauge()
        self._began = 0.0
        self._start = 0

    def __enter__(self) -> Self:
        self._region.start()
        self._gauge.start()
        self._start = self._gauge.read()[0]
        self._began = time.perf_counter()
        return self

    def __exit__(self, *exc_info: object) -> None:
        seconds = time.perf_counter() - self._began
        end = self._gauge.read()[0]
        self._gauge.stop()
        peak = self._region.stop()
        self._stretches.append(
            Stretch(self._label, seconds, self._start, end, None if peak is None else peak.value_bytes)
        )


def profile(
    func: Any = None,
    stream: Any = None,
    precision: int = 1,
    backend: str | None = "psutil",
    *,
    include_children: bool = False,
    exact: bool = True,
) -> Any:
    """Decorate a function so that a table of its lines is printed when a call has ended.

    Usable bare and with arguments, on functions, methods (below ``staticmethod`` and ``classmethod``, or
    above), generators, coroutines and asynchronous generators, in files and in notebook cells. Calls that
    overlap, by recursion or in threads and tasks, share one table, which is printed when the last has ended.
    What the function returns and raises is untouched.

    Under ``memlab profile`` and ``%mprun`` the name ``profile`` is there without an import, and the tables
    are shown at the end.

    Args:
        func: the function.
        stream: where to write; anything with ``write``. Default: ``sys.stdout`` of the moment.
        precision: decimal places of MiB.
        backend: what is read, see ``LineProfiler``.
        include_children: add the memory of child processes.
        exact: use the kernel's high-water mark for the peaks within lines.

    Raises:
        UsageError: for an unknown backend, or something that has no Python code.

    Example:
        >>> import io
        >>> out = io.StringIO()
        >>> @profile(stream=out)
        ... def work():
        ...     return [0] * 1_000_000
        >>> len(work()), "Line Contents" in out.getvalue()
        (1000000, True)
    """
    options = {"backend": backend, "include_children": include_children, "exact": exact}
    make_gauge(backend, include_children, exact)  # a wrong name is told now, not at the first call
    if type(precision) is not int or precision < 0:
        raise UsageError(f"profile: precision must be a number of decimal places from 0, not {precision!r}")
    again: Any = functools.partial(
        profile,
        stream=stream,
        precision=precision,
        backend=backend,
        include_children=include_children,
        exact=exact,
    )
    if func is None:
        return again
    if isinstance(func, (staticmethod, classmethod)):
        return type(func)(again(func.__func__))
    if isinstance(func, property):
        fget, fset, fdel = (
            None if part is None else again(part) for part in (func.fget, func.fset, func.fdel)
        )
        return property(fget, fset, fdel, func.__doc__)
    find_code(func)
    return _wrapper(func, _Calls(func, stream, precision, options))


class _Calls:
    """The calls of one decorated function: they share a profile as long as any of them runs."""

    def __init__(self, function: Any, stream: Any, precision: int, options: Mapping[str, Any]) -> None:
        self._function = function
        self._stream = stream
        self._precision = precision
        self._options = options
        self._lock = threading.RLock()
        self._running = 0
        self._profiler: LineProfiler | None = None
        self._told = ""

    def __enter__(self) -> None:
        with self._lock:
            self._running += 1
            try:
                if self._running == 1:
                    self._begin()
            except BaseException:
                self._running -= 1
                self._drop()
                raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._running -= 1
            profiler = self._profiler
            if profiler is not None and error is not None and not isinstance(error, GeneratorExit):
                profiler.failed(error)
            if self._running or profiler is None:
                return
            try:
                result = profiler.stop()
            finally:
                self._drop()
        self._write(result.to_text(self._precision) + "\n\n")

    def _begin(self) -> None:
        profiler = LineProfiler(self._function, **self._options)
        try:
            self._profiler = profiler
            profiler.start()
        except UnavailableError as error:
            self._profiler = None
            if self._told != str(error):  # once: the function runs on, without a profile
                self._told = str(error)
                self._write(f"memlab: {error}\n")

    def _drop(self) -> None:
        profiler, self._profiler = self._profiler, None
        if profiler is not None:
            profiler.stop()

    def _write(self, text: str) -> None:
        stream = self._stream if self._stream is not None else sys.stdout
        try:
            for line in text.splitlines(keepends=True):
                stream.write(line)
        except Exception as error:  # noqa: BLE001 - the measured program comes first
            print(f"memlab: the profile could not be written ({type(error).__name__})", file=sys.__stderr__)


def _wrapper(function: Any, calls: _Calls) -> Callable[..., Any]:
    """Return a wrapper of the function's own kind."""
    kind = inspect.unwrap(function)
    if inspect.isasyncgenfunction(kind):
        wrapper = _asynchronous(function, calls)
    elif inspect.iscoroutinefunction(kind):
        wrapper = _coroutine(function, calls)
    elif inspect.isgeneratorfunction(kind):
        wrapper = _generator(function, calls)
    else:
        wrapper = _plain(function, calls)
    return functools.update_wrapper(wrapper, function)


def _plain(function: Any, calls: _Calls) -> Callable[..., Any]:
    def wrapper(*args: Any, **keywords: Any) -> Any:
        with calls:
            return function(*args, **keywords)

    return wrapper


def _generator(function: Any, calls: _Calls) -> Callable[..., Any]:
    def wrapper(*args: Any, **keywords: Any) -> Any:
        with calls:
            return (yield from function(*args, **keywords))

    return wrapper


def _coroutine(function: Any, calls: _Calls) -> Callable[..., Any]:
    async def wrapper(*args: Any, **keywords: Any) -> Any:
        with calls:
            return await function(*args, **keywords)

    return wrapper


def _asynchronous(function: Any, calls: _Calls) -> Callable[..., Any]:
    async def wrapper(*args: Any, **keywords: Any) -> Any:
        with calls:
            produced = function(*args, **keywords)
            resume: Any = produced.__anext__
            value: tuple[Any, ...] = ()
            while True:
                try:
                    item = await resume(*value)
                except StopAsyncIteration:
                    return
                try:
                    sent = yield item
                    resume, value = produced.asend, (sent,)
                except GeneratorExit:
                    await produced.aclose()
                    raise
                except BaseException as error:  # noqa: BLE001 - thrown in: it is the generator's
                    resume, value = produced.athrow, (error,)

    return wrapper

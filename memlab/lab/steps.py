"""The step that is measured: called as it is, counted, and named for the report."""

from __future__ import annotations

import contextlib
import functools
import inspect
import traceback
import types
from typing import TYPE_CHECKING, Any

from memlab._base.safety import clean, instance_type_name
from memlab.errors import StepError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator
    from typing import Self

    from memlab._base.paths import PathLabels

__all__ = ["Loop", "Step", "check_callable", "check_step", "failed_at", "step_traceback"]


class Loop:
    """One event loop for all that a hunt awaits: the set-up, every iteration, the tear-down.

    Made when it is first needed, so that a hunt without a coroutine imports nothing.
    """

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.close()

    def open(self) -> None:
        """Make the loop now.

        Raises:
            StepError: where one is running in this thread already.
        """
        if self._runner is not None:
            return
        import asyncio

        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self._runner = asyncio.Runner()
            return
        raise StepError(
            "the step is a coroutine function and an event loop is running here already; "
            "hunt in a plain script, or in a thread: await asyncio.to_thread(memlab.find_leaks, step)"
        )

    def run(self, awaited: Any) -> Any:
        """Await one coroutine."""
        try:
            self.open()
        except StepError:
            awaited.close()  # it was never begun, and would warn
            raise
        assert self._runner is not None
        return self._runner.run(awaited)


class Step:
    """A callable without arguments, and how often it has been called.

    Args:
        function: the step; a coroutine function is awaited in one event loop that lives as long as the hunt.
        label: its name in the report; by default ``module:qualname``.
    """

    elsewhere = False
    """Whether its work is done by other threads, which the hunt cannot follow line by line."""

    by_clock = False
    """Whether a call is a time and not a piece of work."""

    def __init__(self, function: Callable[[], Any], label: str | None = None, role: str = "step") -> None:
        check_step(function, f"the {role}")
        self.function = function
        self.label = clean(label or _name(function))
        self.calls = 0
        self._loop: Loop | None = None
        self._is_async = inspect.iscoroutinefunction(inspect.unwrap(function))

    @contextlib.contextmanager
    def ready(self, loop: Loop) -> Iterator[None]:
        """Hold what calling needs: an event loop, for a coroutine function."""
        if not self._is_async:
            yield
            return
        loop.open()
        self._loop = loop
        try:
            yield
        finally:
            self._loop = None

    def run(self, times: int) -> None:
        """Call the step ``times`` times; its exception passes through."""
        function = self.function
        if self._loop is not None:
            function = functools.partial(_await, self._loop, self.function)
        if times and not self.calls:
            times -= 1
            self.calls += 1
            self._refuse_promise(function())
        for _ in range(times):
            self.calls += 1
            function()

    def _refuse_promise(self, result: Any) -> None:
        """Refuse a call that only made something still to be run: the hunt would find that nothing leaks."""
        if type(result) not in (types.CoroutineType, types.GeneratorType, types.AsyncGeneratorType):
            return
        if type(result) is types.CoroutineType:
            result.close()  # it was never begun, and would warn
        raise StepError(
            f"the step returned {_article(result)}, so calling it runs nothing; give the coroutine function "
            "itself, or a function that exhausts the generator"
        )


def failed_at(error: BaseException, step: Step, labels: PathLabels) -> str:
    """Return the line of the user's own code where the step failed, empty when it is not known."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if labels.is_own(frame.filename)]
    last = own[-1] if own else None
    return f"{labels.label(last.filename)}:{last.lineno}" if last is not None else step.label


def step_traceback(error: BaseException) -> Any:
    """Return the traceback from the step's own frame on: memlab's frames are left out."""
    trace = error.__traceback__
    while trace is not None and str(trace.tb_frame.f_globals.get("__name__")).startswith("memlab."):
        trace = trace.tb_next
    return trace


def _await(loop: Loop, function: Callable[[], Any]) -> None:
    loop.run(function())


def check_step(step: Any, name: str) -> Callable[[], Any]:
    """Return ``step`` if it can be called again and again without arguments.

    A generator function would only make an object and hand it back: the hunt would find that nothing leaks,
    and that would be no answer. A coroutine function is fine, the hunt awaits it.

    Raises:
        StepError: says what it is instead, and what to give.
    """
    check_callable(step, name)
    if inspect.isgeneratorfunction(step) or inspect.isasyncgenfunction(step):
        raise StepError(
            f"{name} is a generator function, so calling it runs nothing; give one that exhausts it"
        )
    found: Callable[[], Any] = step
    return found


def check_callable(function: Any, name: str) -> None:
    """Refuse what cannot be called without arguments.

    Raises:
        StepError: says what it is instead, and what to give.
    """
    if not callable(function):
        raise StepError(
            f"{name} must be something to call without arguments, not {_article(function)}; "
            "wrap what you want to repeat in a function"
        )
    missing = _missing_arguments(function)
    if missing:
        raise StepError(f"{name} needs arguments ({missing}); give a function that is called without any")


def _missing_arguments(step: Callable[..., Any]) -> str:
    try:
        parameters = inspect.signature(step).parameters.values()
    except (TypeError, ValueError):  # many builtins do not tell
        return ""
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return ", ".join(p.name for p in parameters if p.default is p.empty and p.kind not in optional)


def _name(function: Any) -> str:
    target = inspect.unwrap(function)
    if isinstance(target, functools.partial):
        target = target.func
    module, name = getattr(target, "__module__", None), getattr(target, "__qualname__", None)
    if isinstance(name, str):
        return f"{module}:{name}" if isinstance(module, str) else name
    return instance_type_name(function)


def _article(value: object) -> str:
    name = instance_type_name(value).removeprefix("builtins.")
    return "None" if value is None else f"{'an' if name[:1] in 'aeiou' else 'a'} {name}"

"""What a step needs around it: made once before the first iteration, taken away after the last.

A set-up is a function, or what a ``with`` block or a pytest fixture would be: a context manager, a function
that makes one, a generator that yields once. Coroutines and asynchronous forms run in the step's own event
loop. The tear-down runs whatever happened before it, also where the set-up itself failed half-way; the
exception that came first is the one that goes on.
"""

from __future__ import annotations

import contextlib
import inspect
import types
from typing import TYPE_CHECKING, Any

from memlab._base.safety import instance_type_name
from memlab.errors import StepError
from memlab.lab.steps import Step, check_callable

if TYPE_CHECKING:
    from collections.abc import Callable

    from memlab.lab.steps import Loop

__all__ = ["Surroundings"]

# What a decorated generator function gives back: nothing of it has run, so it is meant to be entered.
_MADE_BY_DECORATOR = (contextlib._GeneratorContextManager, contextlib._AsyncGeneratorContextManager)  # noqa: SLF001


class Surroundings:
    """The set-up and the tear-down of one hunt.

    Args:
        setup: called once before, or a context manager, which is entered.
        teardown: called once after.
        loop: where coroutines run.

    Attributes:
        blame: whose exception goes on: ``setup``, ``teardown``, or empty when it is neither's.
        notes: a tear-down that failed after something else had.

    Raises:
        StepError: when one of them is nothing that could be called.
    """

    def __init__(self, setup: Any, teardown: Callable[[], Any] | None, loop: Loop) -> None:
        manager = setup is not None and _is_manager(setup)
        if setup is not None and not manager:
            check_callable(setup, "the setup")
        self._setup = setup
        self._manager = manager
        self._teardown = Step(teardown, role="teardown") if teardown is not None else None
        self._loop = loop
        self._leave: Callable[[BaseException | None], object] | None = None
        self.blame = ""
        self.notes: list[str] = []

    def make(self) -> None:
        """Set up; its exception goes on."""
        if self._setup is None:
            return
        try:
            made = self._setup if self._manager else self._setup()
            if inspect.iscoroutine(made):
                made = self._loop.run(made)
            self._enter(made)
        except BaseException:
            self.blame = "setup"
            raise

    def take_away(self, under_way: BaseException | None) -> None:
        """Tear down: what the set-up opened first, then the tear-down.

        Args:
            under_way: the exception that ended the hunt. An error of the tear-down is then noted and set
                aside; without one it goes on to the caller. What is no ``Exception``, such as an interrupt,
                always does.
        """
        failed = under_way
        trace = under_way.__traceback__ if under_way is not None else None
        for part in (self._close, self._call_teardown):
            try:
                part(under_way)
            except BaseException as error:  # noqa: BLE001 - raised below
                if error is under_way:  # a context manager lets it through by raising it again
                    continue
                self.notes.append(f"the tear-down raised {instance_type_name(error)}")
                if failed is None or not isinstance(error, Exception):
                    failed, self.blame = error, "teardown"
        if under_way is not None:
            under_way.__traceback__ = trace  # without the frames of a context manager that it was shown to
        if failed is not under_way and failed is not None:
            raise failed

    def _enter(self, made: Any) -> None:
        """Enter what the set-up gave back, where it is made to be entered; what else it is, is nobody's."""
        if type(made) is types.GeneratorType:
            self._leave = lambda _: _finish(made)
            _begin(made)
        elif type(made) is types.AsyncGeneratorType:
            self._leave = lambda _: self._loop.run(_finish_async(made))
            self._loop.run(_begin_async(made))
        elif (self._manager or isinstance(made, _MADE_BY_DECORATOR)) and hasattr(type(made), "__enter__"):
            type(made).__enter__(made)
            self._leave = lambda error: type(made).__exit__(made, *_details(error))
        elif self._manager or isinstance(made, _MADE_BY_DECORATOR):
            self._loop.run(_call(type(made).__aenter__, made))
            self._leave = lambda error: self._loop.run(_call(type(made).__aexit__, made, *_details(error)))

    def _close(self, under_way: BaseException | None) -> None:
        leave, self._leave = self._leave, None
        if leave is not None:
            leave(under_way)

    def _call_teardown(self, _under_way: BaseException | None) -> None:
        if self._teardown is None:
            return
        made = self._teardown.function()
        if inspect.iscoroutine(made):
            self._loop.run(made)


def _is_manager(setup: Any) -> bool:
    """Tell whether a set-up is itself a context manager, to be entered: an object, no class."""
    kind = type(setup)
    if isinstance(setup, type):
        return False
    return (hasattr(kind, "__enter__") and hasattr(kind, "__exit__")) or (
        hasattr(kind, "__aenter__") and hasattr(kind, "__aexit__")
    )


def _details(error: BaseException | None) -> tuple[Any, Any, Any]:
    return (type(error), error, error.__traceback__) if error is not None else (None, None, None)


def _begin(generator: Any) -> None:
    try:
        next(generator)
    except StopIteration:
        raise StepError(_NO_YIELD) from None


def _finish(generator: Any) -> None:
    """Run the rest of a generator, as pytest does: it learns nothing of how the hunt went."""
    try:
        next(generator)
    except StopIteration:
        return
    generator.close()
    raise StepError(_TWO_YIELDS)


async def _begin_async(generator: Any) -> None:
    try:
        await anext(generator)
    except StopAsyncIteration:
        raise StepError(_NO_YIELD) from None


async def _finish_async(generator: Any) -> None:
    try:
        await anext(generator)
    except StopAsyncIteration:
        return
    await generator.aclose()
    raise StepError(_TWO_YIELDS)


async def _call(function: Callable[..., Any], *args: Any) -> Any:
    return await function(*args)


_NO_YIELD = "the setup is a generator that yields nothing: let it yield once, where the hunt is to run"
_TWO_YIELDS = "the setup is a generator that yields twice: what stands after its one yield is the tear-down"

"""What can be a step: something that does its work when it is called without arguments.

A generator function would only make an object and hand it back: the hunt would find that nothing leaks,
and that would be no answer. Coroutine functions are fine, the hunt awaits them.

``Watched`` tells afterwards whether an exception was the step's: a face must never show memlab's bug as
the user's, nor the user's as memlab's.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from memlab._base.safety import instance_type_name
from memlab.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Watched", "check_step"]


def check_step(step: Any, name: str) -> Callable[[], object]:
    """Return ``step`` if it can be called again and again without arguments.

    Raises:
        StepError: says what it is instead, and what to give.
    """
    if not callable(step):
        kind = instance_type_name(step).removeprefix("builtins.")
        raise StepError(f"{name} cannot be called, its type is {kind}: name a function")
    if inspect.isgeneratorfunction(step) or inspect.isasyncgenfunction(step):
        raise StepError(f"{name} is a generator function, calling it runs nothing: name one that exhausts it")
    missing = _missing_arguments(step)
    if missing:
        raise StepError(f"{name} needs arguments ({missing}): name a function that is called without any")
    found: Callable[[], object] = step
    return found


class Watched:
    """A step, or a setup, that remembers the exception it raised.

    Attributes:
        call: what is to be called in its place; a coroutine function for a coroutine function.
        raised: its exception; None as long as there was none.
    """

    def __init__(self, function: Callable[[], Any]) -> None:
        self.raised: BaseException | None = None

        def call() -> object:
            try:
                return function()
            except BaseException as error:
                self.raised = error
                raise

        async def call_async() -> object:
            try:
                return await function()
            except BaseException as error:
                self.raised = error
                raise

        is_async = inspect.iscoroutinefunction(inspect.unwrap(function))
        self.call: Callable[[], Any] = call_async if is_async else call
        self.call.__wrapped__ = function  # type: ignore[attr-defined]  # the report names what is inside


def _missing_arguments(step: Callable[..., object]) -> str:
    try:
        parameters = inspect.signature(step).parameters.values()
    except (TypeError, ValueError):  # many builtins do not tell
        return ""
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return ", ".join(p.name for p in parameters if p.default is p.empty and p.kind not in optional)

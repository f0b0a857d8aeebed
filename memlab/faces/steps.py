"""A step that remembers what it raised.

A face must never show memlab's bug as the user's, nor the user's as memlab's; this tells them apart.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Watched"]


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

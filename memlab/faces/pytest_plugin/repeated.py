"""A test as a step: its set-up, its call and its tear-down, again and again.

A hunt of the call alone would blame the test for what its own fixtures remember on purpose: caplog's records,
monkeypatch's undo list, capsys's text. So each iteration sets the test's own fixtures up anew and tears them
down, through pytest's hooks, which other plugins (asyncio, anyio, mock) take part in. Fixtures of a wider
scope live on. What pytest itself keeps for each run of a test is taken away again after every iteration.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Repeated", "can_repeat", "is_repeating"]

_repeating = pytest.StashKey[bool]()


def can_repeat(item: pytest.Item) -> bool:
    """Tell whether a test can be set up a second time: functions, methods and doctests can."""
    return hasattr(item, "_initrequest") and item.parent is not None


def is_repeating(item: pytest.Item) -> bool:
    """Tell whether a test is being repeated now, so that its phases are no business of the run's."""
    return item.stash.get(_repeating, False)


class Repeated:
    """A test that has been set up and has passed, as a step that can be called in ``repeating``.

    Args:
        item: the test.
    """

    def __init__(self, item: Any) -> None:
        self._item = item
        self._kept: list[tuple[list[Any], int]] = []
        self._folders: list[Path] = []
        self._asked: dict[int, Any] = {}

    @contextlib.contextmanager
    def repeating(self) -> Iterator[None]:
        """Tear the test down for the time of the block, and set it up again afterwards."""
        item = self._item
        item.stash[_repeating] = True
        try:
            self._phase("call", _passed)
            self._phase("teardown", self._tear_down)
            try:
                yield
            finally:
                item._initrequest()  # noqa: SLF001 - as pytest does itself to run an item again
                self._phase("setup", lambda: item.ihook.pytest_runtest_setup(item=item))
                getattr(item, "obj", None)  # makes a TestCase's instance, which its tear-down expects
        finally:
            del item.stash[_repeating]

    def __call__(self) -> None:
        """Set up, call and tear down once; raises what the test raises."""
        item = self._item
        self._remember()
        item._initrequest()  # noqa: SLF001 - as pytest does itself to run an item again
        try:
            self._phase("setup", lambda: item.ihook.pytest_runtest_setup(item=item))
            self._note_folder()
            self._phase("call", lambda: item.ihook.pytest_runtest_call(item=item))
        finally:
            self._phase("teardown", self._tear_down)
            item.funcargs = None
            self._forget()

    def _phase(self, when: Literal["setup", "call", "teardown"], run: Callable[[], object]) -> None:
        """Run one phase and let its report be made: fixtures and plugins read there how a phase went."""
        item = self._item
        info: pytest.CallInfo[None] = pytest.CallInfo.from_call(
            lambda: _nothing(run()), when=when, reraise=(KeyboardInterrupt, pytest.exit.Exception)
        )
        item.ihook.pytest_runtest_makereport(item=item, call=info)
        if info.excinfo is not None:
            raise info.excinfo.value

    def _tear_down(self) -> None:
        # Torn down as if the next test were another one of the same parent: wider fixtures stay.
        self._item.ihook.pytest_runtest_teardown(item=self._item, nextitem=self._item.parent)

    def _note_folder(self) -> None:
        folder = (self._item.funcargs or {}).get("tmp_path")
        self._folders = [folder] if isinstance(folder, Path) else []

    def _remember(self) -> None:
        """Note how long the lists are that pytest appends to for each run of a test."""
        item = self._item
        lists = [item._report_sections, item.user_properties]  # noqa: SLF001 - no public name for them
        # A fixture gains a finalizer for each other one that asked for it; wider ones keep them.
        lists += [definition._finalizers for definition in self._definitions()]  # noqa: SLF001
        self._kept = [(found, len(found)) for found in lists if isinstance(found, list)]

    def _definitions(self) -> list[Any]:
        """Return every fixture that the test has asked for so far, by name or at run time."""
        item = self._item
        info = getattr(item, "_fixtureinfo", None)
        named = [d for ds in getattr(info, "name2fixturedefs", {}).values() for d in ds]
        asked = getattr(item._request, "_fixture_defs", {}).values()  # noqa: SLF001
        self._asked.update({id(d): d for d in (*named, *asked) if hasattr(d, "_finalizers")})
        return list(self._asked.values())

    def _forget(self) -> None:
        for found, length in self._kept:
            del found[length:]
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)


def _passed() -> None:
    """Stand in for the call that has passed already."""


def _nothing(_result: object) -> None:
    pass

"""What the markers' arguments mean: read once, before any test runs."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from memlab._base.units import parse_bytes
from memlab.errors import MemlabError
from memlab.faces.pytest_plugin.options import NO_LEAK, PEAK, budget_s

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NoLeak", "no_leak_of", "peak_of"]

_HUNT = ("budget_s", "iterations", "warmup", "depth", "trace")


@dataclasses.dataclass(frozen=True, slots=True)
class NoLeak:
    """How a test is hunted.

    Attributes:
        hunt: arguments of ``LeakHunt``.
        strict: fail without a verdict, too.
    """

    hunt: Mapping[str, Any]
    strict: bool


def no_leak_of(item: pytest.Item) -> NoLeak | None:
    """Return what a test's ``memlab_no_leak`` marker asks for, None when it has none.

    Raises:
        pytest.UsageError: when the marker makes no sense; the sentence names the test and the remedy.
    """
    mark = item.get_closest_marker(NO_LEAK)
    if mark is None:
        return None
    if mark.args:
        raise _wrong(item, NO_LEAK, f"takes keywords only ({', '.join(_HUNT)}, strict), not {mark.args[0]!r}")
    unknown = sorted(mark.kwargs.keys() - {*_HUNT, "strict"})
    if unknown:
        raise _wrong(item, NO_LEAK, f"has no argument {unknown[0]!r}; it has {', '.join(_HUNT)} and strict")
    hunt = {name: mark.kwargs[name] for name in _HUNT if name in mark.kwargs}
    if "iterations" not in hunt:
        hunt.setdefault("budget_s", budget_s(item.config))
    from memlab.lab.leak_hunt import LeakHunt

    try:
        LeakHunt(_nothing, **hunt)
    except (MemlabError, TypeError) as error:
        raise _wrong(item, NO_LEAK, str(error)) from None
    return NoLeak(hunt, bool(mark.kwargs.get("strict", False)))


def peak_of(item: pytest.Item) -> int | None:
    """Return the limit in bytes that a test's ``memlab_peak`` marker sets, None when it has none.

    Raises:
        pytest.UsageError: when the marker makes no sense; the sentence names the test and the remedy.
    """
    mark = item.get_closest_marker(PEAK)
    if mark is None:
        return None
    given = [*mark.args, *([mark.kwargs["limit"]] if "limit" in mark.kwargs else [])]
    unknown = sorted(mark.kwargs.keys() - {"limit"})
    if unknown:
        raise _wrong(item, PEAK, f"has no argument {unknown[0]!r}; it takes a limit such as '24 MiB'")
    if len(given) != 1:
        raise _wrong(item, PEAK, f"takes one limit such as '24 MiB', not {len(given)} of them")
    if not isinstance(given[0], (int, float, str)) or isinstance(given[0], bool):
        raise _wrong(item, PEAK, f"takes a limit such as '24 MiB', not {type(given[0]).__name__}")
    try:
        return parse_bytes(given[0])
    except MemlabError as error:
        raise _wrong(item, PEAK, str(error)) from None


def _wrong(item: pytest.Item, marker: str, what: str) -> pytest.UsageError:
    return pytest.UsageError(f"{item.nodeid}: the marker {marker} {what}")


def _nothing() -> None:
    pass

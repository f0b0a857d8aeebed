"""Make the Nth allocation of a call fail, for N = 1, 2, 3 … until the call has no Nth allocation.

CPython's own test module has the hook (``_testcapi.set_nomemory``): it fails the Nth call to any of Python's
allocators and lets every other pass. Whether the call came to its Nth allocation is found out afterwards:
if it did not, one of the next allocations fails, which are ours. The child runs nothing beside the call, or
the failure might meet somebody else.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from memlab.lab._caged import Refusal, _place_of, _type_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from memlab.lab._caged import Inside

__all__ = ["RETURNED", "fail_allocations"]

RETURNED = "returned all the same"
_MOST_POINTS = 100_000
_TELL_EVERY = 20
_NOT_INTERNED = 600


def fail_allocations(run: Inside) -> None:
    """Run the subject once for each failure point, and tell what became of each failure.

    Raises:
        Refusal: when this build of Python has no such hook, or the subject fails by itself.
    """
    try:
        import _testcapi

        fail, restore = _testcapi.set_nomemory, _testcapi.remove_mem_hooks
    except (ImportError, AttributeError):
        raise Refusal(
            "this build of Python has no _testcapi.set_nomemory, the hook that makes an allocation fail; "
            "builds from python.org, pyenv and conda have it, some distributions leave it out or package "
            "it apart"
        ) from None
    subject = run._made()  # noqa: SLF001 - the other half of this module
    assert subject is not None
    try:
        for _ in range(2):  # what is cached on first use has nothing to do with the call
            subject.call()
    except BaseException as error:  # noqa: BLE001 - its own exception, told as such
        raise Refusal(f"without any failure it raised {_type_of(error)}{_place_of(error)}") from None
    run.base_rss = run.rss()
    run.ready(subject.kind)
    run.draw_wall()
    nth = run.plan["fail_nth"]
    reached, points = _every_point(run, subject.call, fail, restore, nth)
    run._end(0)  # noqa: SLF001
    run._kept.close()  # noqa: SLF001
    run.send(run.ending() | {"points": points, "reached": reached})


def _every_point(
    run: Inside,
    call: Callable[[], None],
    fail: Callable[[int, int], None],
    restore: Callable[[], None],
    nth: Any,
) -> tuple[int, dict[str, int]]:
    points: dict[str, int] = {}
    reached = 0
    for number in range(1, _MOST_POINTS + 1) if nth is None else (nth,):
        if number % _TELL_EVERY == 1 or nth is not None:
            run.send({"event": "point", "number": number})  # should the interpreter not survive it
        begun = time.perf_counter_ns()
        became = _one_point(call, fail, restore, number)
        if became is None:
            break
        run._count(time.perf_counter_ns() - begun)  # noqa: SLF001
        reached = number
        points[became] = points.get(became, 0) + 1
    return reached, points


def _one_point(
    call: Callable[[], None], fail: Callable[[int, int], None], restore: Callable[[], None], number: int
) -> str | None:
    """Return what became of the failure, None when the call has fewer allocations."""
    probes = range(number)
    returned = False
    fail(number - 1, number)
    try:
        call()
        returned = True
        for _ in probes:
            bytes(_NOT_INTERNED)
    except BaseException as raised:  # noqa: BLE001 - whatever it is, it is what became of the failure
        return None if returned else f"{_type_of(raised)} raised"
    finally:
        restore()
    return RETURNED

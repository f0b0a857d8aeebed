"""The shop of data/service leaks exactly what its README says, and the hunt says so too."""

from __future__ import annotations

import difflib
import gc
import inspect
import sys
from pathlib import Path

import pytest

from memlab import Verdict, find_leaks

SERVICE = Path(__file__).resolve().parents[2] / "data" / "service"


@pytest.fixture(scope="module")
def services():
    """The leaking shop and the mended one."""
    sys.path.insert(0, str(SERVICE))
    try:
        import fixed
        import shop
    finally:
        sys.path.remove(str(SERVICE))
    return shop, fixed


def growth(step, type_name, rounds=50):
    """Objects of a type that so many rounds leave behind, once the shop is warm."""
    for _ in range(60):
        step()
    gc.collect()
    before = sum(type(o).__name__ == type_name for o in gc.get_objects())
    for _ in range(rounds):
        step()
    gc.collect()
    return sum(type(o).__name__ == type_name for o in gc.get_objects()) - before


@pytest.mark.parametrize(("type_name", "a_round"), [("StockWatcher", 2), ("Request", 2), ("Session", 0)])
def test_the_shop_leaks_two_watchers_and_their_requests_a_round(services, type_name, a_round):
    """Two orders a round are for a lamp that is sold out; each leaves a watcher and its request."""
    shop, _ = services
    assert growth(shop.step, type_name) == 50 * a_round


@pytest.mark.parametrize("type_name", ["StockWatcher", "Request", "Session"])
def test_the_mended_shop_leaks_nothing(services, type_name):
    """With the ticket handed back on every way out nothing stays."""
    _, fixed = services
    assert growth(fixed.step, type_name) == 0


def test_the_fix_is_a_try_and_a_finally(services):
    """The two handlers differ in nothing but the try around the early return."""
    shop, fixed = services
    sources = [
        [line.strip() for line in inspect.getsource(module.create_order).splitlines()]
        for module in (shop.handlers, fixed)
    ]
    changes = [line for line in difflib.ndiff(*sources) if line[0] in "+-"]
    assert changes == ["+ try:", "+ finally:"]


@pytest.mark.timeout(120)
def test_the_hunt_names_the_watcher_its_line_and_the_bus(services):
    """Verdict, growth, type, line and holder of the shop's leak are what its README says."""
    shop, _ = services
    report = find_leaks(shop.step, iterations=300, budget_s=10)
    assert report.verdict is Verdict.LEAK
    assert report.objects_per_iteration == pytest.approx(6, rel=0.05)
    suspect = report.suspects[0]
    assert suspect.type_name == "shop.handlers.StockWatcher"
    assert suspect.site.user.file.endswith("handlers.py")
    assert suspect.site.user.source == "watcher = StockWatcher(request)"
    holders = [link.via for link in suspect.chain.links]
    assert holders[:4] == ["", ".app", ".bus", ".subscribers"]
    assert suspect.container.entries_per_iteration == pytest.approx(2, rel=0.05)
    assert suspect.container.bound is None


@pytest.mark.timeout(120)
def test_the_hunt_finds_nothing_in_the_mended_shop(services):
    """The caches, sessions and log of the mended shop fill and stop, and are not accused."""
    _, fixed = services
    report = find_leaks(fixed.step, iterations=300, budget_s=10)
    assert report.verdict is Verdict.NO_LEAK, str(report)
    assert report.suspects == ()

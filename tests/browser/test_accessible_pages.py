"""Every kind of page, light and dark, wide and narrow: no finding of axe-core that is serious."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))

import samples
from browser.accessible import findings

pytestmark = pytest.mark.browser

RESULTS = samples.all_results()


@pytest.mark.parametrize("kind", sorted(RESULTS))
def test_a_page_has_no_serious_accessibility_finding(visit, kind):
    """Names, roles, contrast, order of headings: light, then dark, in one visit."""
    page = visit(RESULTS[kind])
    page.wait_for_function("document.documentElement.dataset.ready === 'yes'")
    assert findings(page) == []
    page.emulate_media(color_scheme="dark")
    assert findings(page, rules=["color-contrast"]) == []


def test_the_check_sees_what_is_wrong(visit):
    """A picture without words, a box without a label and grey on grey are found: the check is not blind."""
    page = visit(
        "<!doctype html><html><title>x</title><main><h1>x</h1><img src='data:,'><input>"
        "<p style='color:#999;background:#aaa'>grey</p></main></html>"
    )
    found = " ".join(findings(page))
    for rule in ("image-alt", "label", "color-contrast", "html-has-lang"):
        assert rule in found

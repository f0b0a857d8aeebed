"""What axe-core finds in a page, as lines to read. Its script comes with a package: no network."""

from __future__ import annotations

from functools import cache
from importlib import resources

# What WCAG 2.2 asks for at levels A and AA, and axe's own advice on top of it.
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
SERIOUS = ("serious", "critical")


@cache
def script():
    """Return axe-core."""
    return (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


def findings(page, impacts=SERIOUS, rules=None):
    """Return one line for each element of a page with a finding of these impacts."""
    if not page.evaluate("'axe' in window"):  # half a megabyte to read: once a page
        page.evaluate(script())
    only = {"type": "rule", "values": rules} if rules else {"type": "tag", "values": TAGS}
    options = {"runOnly": only, "resultTypes": ["violations"]}
    found = page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{one['impact']} {one['id']}: {node['html'][:160]} ({node['failureSummary'].split(chr(10))[-1]})"
        for one in found["violations"]
        if one["impact"] in impacts
        for node in one["nodes"]
    ]

"""Make docs/images/report.png: the top of the demo's real report, as a browser shows it.

Run ``make demo`` first. Needs playwright and Chromium (MEMLAB_CHROMIUM, or the usual place).
"""
# ruff: noqa: INP001, T201 - a script, which prints

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPORT = ROOT / "out" / "demo" / "leaking.html"
TARGET = ROOT / "docs" / "images" / "report.png"
MOST_BYTES = 200_000
SIZE = {"width": 1100, "height": 1010}


def main() -> int:
    """Open the report and take its picture."""
    from playwright.sync_api import sync_playwright

    if not REPORT.is_file():
        print(f"no {REPORT.relative_to(ROOT)}: run `make demo` first", file=sys.stderr)
        return 2
    browser_path = os.environ.get("MEMLAB_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        page.goto(REPORT.as_uri())
        TARGET.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=TARGET)
        browser.close()
    size = TARGET.stat().st_size
    print(f"{TARGET.relative_to(ROOT)}: {size:,} bytes")
    return int(size > MOST_BYTES)


if __name__ == "__main__":
    sys.exit(main())

"""One headless Chromium for all browser tests: found, never downloaded, and cut off from the network."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


def find_chromium() -> str | None:
    """Return Chromium's path: MEMLAB_CHROMIUM, the usual place, or the search path."""
    named = os.environ.get("MEMLAB_CHROMIUM")
    if named:
        return named if Path(named).exists() else None
    usual = "/usr/bin/chromium"
    return usual if Path(usual).exists() else shutil.which("chromium") or shutil.which("google-chrome")


def give_up(reason: str) -> None:
    """Skip with the reason, or fail with it where the browser is required."""
    if os.environ.get("MEMLAB_REQUIRE_BROWSER") == "1":
        pytest.fail(f"MEMLAB_REQUIRE_BROWSER=1, but {reason}")
    pytest.skip(reason)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Run the browser's tests last.

    While Playwright lives, its event loop counts as running in this thread, and a test that calls
    ``asyncio.run`` would be refused. This comes after the shuffle, so that each part stays shuffled.
    """
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


@pytest.fixture(scope="session")
def chromium():
    """A running Chromium (playwright's ``Browser``), closed at the end of the session."""
    path = find_chromium()
    if path is None:
        give_up("no Chromium here: install chromium or set MEMLAB_CHROMIUM to its path")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        give_up("playwright is not installed: pip install 'memlab[dev]'")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()

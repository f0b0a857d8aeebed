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


class Visit:
    """One opened page with everything that it did: requests beyond itself, console lines, errors, dialogs."""

    def __init__(self, page):
        self.page = page
        self.requests, self.console, self.dialogs = [], [], []
        page.on("console", lambda message: self.console.append(message.text))
        page.on("pageerror", lambda error: self.console.append(str(error)))
        page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))

    def open(self, path):
        address = path.as_uri()

        def decide(route):
            if route.request.url.split("#")[0] == address:
                route.continue_()
            else:
                self.requests.append(route.request.url)
                route.abort()

        self.page.route("**/*", decide)
        self.page.goto(address)
        return self.page

    def assert_quiet(self):
        assert (self.requests, self.console, self.dialogs) == ([], [], [])


@pytest.fixture
def visit(chromium, tmp_path):
    """Open a page, or a result's page, from a file; at the end nothing may have been asked for or logged."""
    from memlab.views.html import render_page

    contexts, visits = [], []

    def opened(result, **options):
        context = chromium.new_context(**{"viewport": {"width": 1200, "height": 900}, **options})
        contexts.append(context)
        path = tmp_path / f"page-{len(contexts)}.html"
        path.write_text(result if isinstance(result, str) else render_page(result), encoding="utf-8")
        one = Visit(context.new_page())
        visits.append(one)
        return one.open(path)

    yield opened
    try:
        for one in visits:
            one.assert_quiet()
    finally:
        for context in contexts:
            context.close()

"""memlab in pytest: a gate against leaks, a limit on peaks, a table of what each test needs.

Shy: until a test carries one of the markers, asks for the fixture or an option is given, this module adds
options and the markers' descriptions, and nothing else. No module of the plugin beside this one and its
options is imported until then, and nothing is measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from memlab.faces.pytest_plugin import options

if TYPE_CHECKING:
    from memlab.faces.pytest_plugin.fixture import TestLab

__all__ = ["memlab", "pytest_addoption", "pytest_collection_finish", "pytest_configure"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options; each is off by default."""
    options.add(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Describe the markers, and switch on what an option asks for."""
    for line in options.MARKERS:
        config.addinivalue_line("markers", line)
    if options.wants_table(config):
        from memlab.faces.pytest_plugin.table import Table

        config.pluginmanager.register(Table(config), "memlab-table")
    if options.report_folder(config) is not None:
        options.check_folder(config)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Switch on the checks of marked tests, if there are any; a marker that makes no sense ends the run."""
    marked = [item for item in session.items if options.is_marked(item)]
    if not marked:
        return
    from memlab.faces.pytest_plugin.checks import Checks, check_markers

    check_markers(marked)
    if not session.config.pluginmanager.has_plugin("memlab-checks"):
        session.config.pluginmanager.register(Checks(session.config), "memlab-checks")


@pytest.fixture
def memlab(request: pytest.FixtureRequest) -> TestLab:
    """Memlab at hand in a test: ``assert_no_leak(step)``, ``find_leaks(step)``, ``peak("24 MiB")``."""
    from memlab.faces.pytest_plugin.fixture import TestLab

    return TestLab(request.node)

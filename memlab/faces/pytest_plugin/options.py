"""The plugin's options and markers, and what they say. Imports nothing of memlab's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

__all__ = [
    "MARKERS",
    "NO_LEAK",
    "PEAK",
    "add",
    "budget_s",
    "check_folder",
    "collects",
    "is_marked",
    "report_folder",
    "rows_shown",
    "wants_table",
]

NO_LEAK = "memlab_no_leak"
PEAK = "memlab_peak"

MARKERS = (
    (
        f"{NO_LEAK}(budget_s=5, iterations=None, warmup=None, depth=25, trace=True, strict=False): when the "
        "test has passed, repeat it, fixtures of its own included, and fail it if it leaks; strict=True "
        "fails it too when there is no verdict."
    ),
    f"{PEAK}(limit): fail the test if its call needs more memory above what there was before, e.g. '24 MiB'.",
)


def add(parser: pytest.Parser) -> None:
    """Add the options to pytest's."""
    group = parser.getgroup("memlab", "memory (memlab)")
    group.addoption(
        "--memlab",
        action="store_true",
        default=False,
        help="measure peak and growth of each test and show the greatest in a table",
    )
    group.addoption(
        "--memlab-top",
        type=int,
        default=20,
        metavar="N",
        help="rows of that table (default 20; 0 shows all)",
    )
    group.addoption(
        "--memlab-collect",
        action="store_true",
        default=False,
        help="collect garbage before each reading of the table: exact growth, slower",
    )
    group.addoption(
        "--memlab-budget",
        type=float,
        default=None,
        metavar="S",
        help="seconds for each memlab_no_leak marker that names no budget_s (default 5)",
    )
    group.addoption(
        "--memlab-report",
        default=None,
        metavar="DIR",
        help="write an HTML page and a JSON file for each failure of memlab's, and with --memlab the table",
    )


def wants_table(config: pytest.Config) -> bool:
    """Tell whether each test shall be measured."""
    return bool(config.getoption("memlab"))


def rows_shown(config: pytest.Config) -> int:
    """Return how many rows the table shows; 0 means all."""
    return int(config.getoption("memlab_top"))


def collects(config: pytest.Config) -> bool:
    """Tell whether garbage is collected before each reading."""
    return bool(config.getoption("memlab_collect"))


def budget_s(config: pytest.Config) -> float:
    """Return the seconds for a hunt that names none."""
    given = config.getoption("memlab_budget")
    return 5.0 if given is None else float(given)


def report_folder(config: pytest.Config) -> Path | None:
    """Return the folder for reports, None when none is wanted. Relative to where pytest was called."""
    given = config.getoption("memlab_report")
    return config.invocation_params.dir / given if given is not None else None


def check_folder(config: pytest.Config) -> None:
    """Make the folder for reports, or say at once that it cannot be had.

    Raises:
        pytest.UsageError: when it cannot be made or written.
    """
    import os

    import pytest

    folder = report_folder(config)
    assert folder is not None
    if not config.getoption("memlab_report"):
        raise pytest.UsageError("--memlab-report needs the name of a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise pytest.UsageError(f"--memlab-report: cannot make {folder}: {error.strerror}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise pytest.UsageError(f"--memlab-report: cannot write into {folder}")


def is_marked(item: pytest.Item) -> bool:
    """Tell whether a test carries one of the markers."""
    return item.get_closest_marker(NO_LEAK) is not None or item.get_closest_marker(PEAK) is not None

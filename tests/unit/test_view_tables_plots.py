"""Tables and plots: documented columns in bytes and seconds, figures from the record, optional parts late."""

from __future__ import annotations

import sys

import pytest
import samples
from hostile import refill, strings
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from memlab.errors import MissingExtraError, UnavailableError, UsageError
from memlab.records.columns import floats, ints
from memlab.records.timeline import Timeline
from memlab.views.palette import LIGHT
from memlab.views.plots import plot
from memlab.views.tables import to_frame

RESULTS = samples.all_results()
PLOTTED = sorted(set(RESULTS) - {"explanation"})
COLUMNS = {
    "leak": "type objects_per_iteration bytes_per_iteration share made_at source your_line entry_made_at"
    " held_by container entries_per_iteration"
    " retained_bytes retained_objects retained_absent",
    "explanation": "chain step root via label type",
    "snapshot": "file line size_bytes blocks domain traceback",
    "snapshot diff": "file line function size_diff_bytes blocks_diff size_bytes blocks change moved_from",
    "snapshot table": "file line function size_bytes blocks traceback",
    "capture": "rss_bytes threads",
    "timeline": "rss_bytes threads",
    "memit": "repeat peak_bytes increment_bytes source",
    "pressure run": "phase start_s end_s target_bytes ballast_bytes peak_rss_bytes calls failures"
    " latency_p50_s latency_p99_s latency_max_s hits misses hit_rate evictions entries",
    "report": "part kind says",
    "post-mortem": "names kind type retained_bytes objects release",
}


@pytest.fixture(scope="module", autouse=True)
def fonts():
    """Keep open the font files that matplotlib keeps open, before any descriptor is counted."""
    figure = Figure()
    FigureCanvasAgg(figure)
    figure.text(0, 0, "x")
    figure.canvas.draw()
    for result in (RESULTS["benchmarks"], refill(RESULTS["benchmarks"], strings(8))[0]):
        figure = Figure()
        FigureCanvasAgg(figure)
        result.plot(figure.subplots())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("warnings.warn", lambda *args, **kwargs: None)  # glyphs that the font lacks
            figure.canvas.draw()


@pytest.mark.parametrize("kind", sorted(COLUMNS))
def test_a_frame_has_the_documented_columns(kind):
    """Each kind's table has the columns that its documentation names, in that order."""
    assert list(RESULTS[kind].to_frame().columns) == COLUMNS[kind].split()


@pytest.mark.parametrize(
    ("table", "rows", "first"),
    [
        ("suspects", 2, {"type": "app.models.Session", "bytes_per_iteration": 326_400.0, "share": 0.8826}),
        ("tests", 3, {"metric": "rss_bytes", "grew": True, "false_positive_bound": 1 / 720}),
        ("types", 5, {"type": "app.models.Session", "objects_per_iteration": 1000.0}),
        ("sites", 3, {"made_at": "app/models.py:42 in Session.__init__", "blocks_per_iteration": 4000.0}),
        ("containers", 2, {"container": "app.registry._live", "entries": 4000}),
        ("series", 24, {"iteration": 25, "tracked_objects": 81_204}),
    ],
)
def test_a_leak_reports_tables_hold_its_figures(table, rows, first):
    """Every table of a leak report by name, with the record's own numbers."""
    frame = to_frame(samples.leak_report(), table)
    assert len(frame) == rows
    assert {name: frame.iloc[0][name] for name in first} == first


def test_a_report_without_suspects_keeps_the_columns():
    """No leak gives an empty table of the same columns."""
    frame = samples.no_leak_report().to_frame()
    assert list(frame.columns) == COLUMNS["leak"].split()
    assert len(frame) == 0


def test_a_snapshots_frame_is_greatest_first_and_complete():
    """All rows are there, sorted, with the bytes of the record."""
    frame = samples.snapshot().to_frame()
    assert frame.size_bytes.tolist() == [8_388_608, 524_288, 1536, 96]
    assert frame.traceback[0] == "app/models.py:42 <- app/service.py:31"
    assert frame.domain.tolist() == [0, 0, 0, 389047]


def test_a_timelines_frame_is_a_copy_indexed_by_seconds():
    """Changing the table leaves the record as it was."""
    timeline = samples.timeline()
    frame = timeline.to_frame()
    assert frame.index.name == "time_s"
    frame.iloc[0, 0] = -1
    assert timeline.metrics["rss_bytes"][0] == 50_331_648


@pytest.mark.parametrize("table", ["nonsense", ""])
def test_an_unknown_table_is_refused_with_those_there_are(table):
    """The message names every table."""
    with pytest.raises(UsageError, match="suspects, tests, types, sites, containers, freed and series"):
        to_frame(samples.leak_report(), table)
    with pytest.raises(UsageError):
        to_frame(samples.snapshot(), "types")


@pytest.mark.parametrize(("view", "module"), [(to_frame, "pandas"), (plot, "matplotlib")])
def test_a_missing_part_gives_the_command_that_installs_it(view, module, monkeypatch):
    """Without pandas or matplotlib the error is one line with pip's command."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"needs {module}: pip install 'memlab\[notebook\]'"):
        view(samples.timeline())


@pytest.mark.parametrize("kind", PLOTTED)
def test_plot_draws_on_the_given_axes_and_returns_it(kind):
    """The caller's axes comes back with something on it; a hostile name neither fails nor is typeset."""
    for result in (RESULTS[kind], refill(RESULTS[kind], strings(8))[0]):
        figure = Figure()
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        assert result.plot(axes) is axes
        assert axes.lines or axes.patches
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("warnings.warn", lambda *args, **kwargs: None)  # glyphs that the font lacks
            figure.canvas.draw()


def test_plot_without_axes_makes_one_that_a_notebook_shows():
    """Pyplot knows the new figure, so that the inline backend shows it."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    try:
        axes = samples.leak_report().plot()
        assert plt.fignum_exists(axes.figure.number)
    finally:
        plt.close("all")


def test_a_leak_reports_plot_shows_the_ratchet():
    """Six steps, each higher than the last, in the colour of growth."""
    axes = plot(samples.leak_report(), Figure().subplots())
    steps = [line for line in axes.lines if line.get_linewidth() == 2.5]
    heights = [line.get_ydata()[0] for line in steps]
    assert heights == list(samples.leak_report().test("rss_bytes").minima)
    assert {line.get_color() for line in steps} == {LIGHT["grew"]}


def test_a_plot_never_loses_a_peak():
    """A spike one sample wide is among the points drawn."""
    axes = plot(samples.timeline(200_000), Figure().subplots())
    assert 157_286_400 in axes.lines[0].get_ydata()
    assert len(axes.lines[0].get_ydata()) <= 2000


def test_a_captures_plot_has_its_marks_and_its_exact_peak():
    """The kernel's peak is a level above every sample; marks stand at their time."""
    axes = plot(samples.capture(), Figure().subplots())
    said = [text.get_text() for text in axes.texts]
    assert said[3:5] == ["load", "train"]
    assert said[5] == "peak 156 MiB (vmhwm)\napp/train.py:41 in epoch"
    assert 163_577_856 in [line.get_ydata()[0] for line in axes.lines]


def test_what_cannot_be_drawn_says_why():
    """An explanation, an empty timeline and an untested metric are clear errors, not empty pictures."""
    with pytest.raises(UnavailableError, match="no numbers"):
        plot(samples.explanation())
    with pytest.raises(UnavailableError, match="no samples"):
        plot(Timeline(floats([]), {"rss_bytes": ints([])}))
    with pytest.raises(UnavailableError, match="rss_bytes, allocated_blocks, tracked_objects"):
        plot(samples.leak_report(), metric="uss_bytes")

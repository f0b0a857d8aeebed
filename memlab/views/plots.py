"""Results as matplotlib pictures, one axes each, drawn on the caller's or on a new one.

A new axes comes from ``pyplot``: a notebook shows the figures that pyplot knows and closes them at the end of
the cell, and a bare ``Figure`` would stay unseen. Given ``ax``, nothing global is touched. Colours and the
ratchet are those of the HTML page.
"""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING

from memlab._base.units import format_bytes, format_seconds, format_signed_bytes
from memlab.analyses.decimation import extremes
from memlab.errors import MissingExtraError, UnavailableError
from memlab.records.capture import Capture
from memlab.records.capture_comparison import CaptureComparison
from memlab.records.cell_ledger import CellLedger
from memlab.records.chain import Explanation
from memlab.records.flame import FlameTree
from memlab.records.gc_pauses import GcPauses
from memlab.records.heap_graph import HeapGraph
from memlab.records.heap_results import HeapDiff, HeapTree
from memlab.records.leak_report import LeakReport
from memlab.records.line_profile import LineProfile
from memlab.records.memit import MemitResult
from memlab.records.pressure import PostMortem, PressureRun
from memlab.records.report import Report
from memlab.records.snapshot import Snapshot
from memlab.records.snapshot_tables import SnapshotDiff, SnapshotTable
from memlab.records.timeline import Timeline
from memlab.views import words
from memlab.views.bench_plots import DRAWERS as BENCH_DRAWERS
from memlab.views.comparison import comparison_headline
from memlab.views.fix_views import DRAWERS as FIX_DRAWERS
from memlab.views.flame_map import flame_block
from memlab.views.gc_views import DRAWERS as GC_DRAWERS
from memlab.views.geometry import ratchet, round_ticks, tick_label
from memlab.views.heap_map import treemap_block
from memlab.views.heap_rows import BARS
from memlab.views.ledger_page import ledger_bars
from memlab.views.line_page import line_bars
from memlab.views.palette import HUES, LIGHT, tints, tones
from memlab.views.pool_plots import DRAWERS as POOL_DRAWERS
from memlab.views.site_history_views import DRAWERS as SITE_DRAWERS
from memlab.views.sites import top_lines
from memlab.views.time_plots import decorate, leave_room, overlay
from memlab.views.where_views import DRAWERS as WHERE_DRAWERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from memlab.records._result import Result
    from memlab.views.page import Treemap

__all__ = ["plot"]

_MOST_BARS = 12
_BUCKETS = 500
_LONGEST_NAME = 48


def plot(result: Result, ax: Axes | None = None, metric: str | None = None) -> Axes:
    """Draw the picture that matters most in a result.

    A leak report shows one tested metric over iterations as change since the first tested reading, with the
    blocks' minima as steps; a capture or timeline shows RSS over seconds, thinned without losing a peak, a
    capture with its spans, pauses, marks and peak; two captures lie over each other; a
    snapshot and a difference show their greatest lines; a statement shows its repeats; a line profile and a
    cell ledger show how far lines and cells rose; a heap graph and a heap tree are treemaps of retained size,
    other results of a heap show their greatest parts as bars; a flame tree is an icicle of its widest frames.
    A pool shows its size over time, a hit curve the hit rate over the number of entries; a run in a cage
    shows resident memory over its ballast, with its budget, and a post-mortem the last stretch.

    Args:
        result: any result but an explanation, which is no picture of numbers.
        ax: where to draw; None makes a new figure.
        metric: what to draw of a leak report or a timeline; None for RSS, or else the first there is.

    Returns:
        The axes, with byte axes in KiB and MiB.

    Raises:
        MissingExtraError: when matplotlib is not installed.
        UnavailableError: when the result holds nothing that could be drawn.

    Example:
        >>> from memlab.records.memit import MemitResult
        >>> from matplotlib.figure import Figure
        >>> plot(MemitResult((3 * 2**20,), 2**20), Figure().subplots()).get_ylabel()
        'peak RSS'
    """
    return _draw(result, ax, metric)


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot as plt
    except ImportError:
        raise MissingExtraError.needs("a plot", "matplotlib", "notebook") from None
    return plt.subplots(figsize=(8, 3.6), layout="constrained")[1]


@singledispatch
def _draw(result: Result, ax: Axes | None, metric: str | None) -> Axes:  # noqa: ARG001 - a case for each kind
    raise TypeError(f"cannot plot a {type(result).__name__}: it is no result of memlab's")


@_draw.register(Explanation)
def _explanation(_result: Explanation, _ax: Axes | None, _metric: str | None) -> Axes:
    raise UnavailableError("an explanation has no numbers to plot: show it, or write it with to_html()")


@_draw.register(LeakReport)
def _leak(report: LeakReport, ax: Axes | None, metric: str | None) -> Axes:
    tested = [test for test in report.tests if test.metric in report.series.metrics]
    if not tested:
        return _draw(report.series, ax, metric)
    names = [test.metric for test in tested]
    wanted = metric if metric is not None else "rss_bytes" if "rss_bytes" in names else names[0]
    if wanted not in names:
        raise UnavailableError(f"{wanted} was not tested: there are {', '.join(names)}")
    test = tested[names.index(wanted)]
    values = report.series.metrics[wanted]
    at = report.series.metrics.get("iteration")
    xs = at if at is not None else report.series.time_s
    blocks = ratchet(values, test)
    change = values - int(values[blocks[0].lowest] if blocks else values[0])
    axes = _axes(ax)
    color = LIGHT["grew"] if test.grew and test.sustained else LIGHT["good"]
    axes.plot(xs, change, color=LIGHT["muted"], lw=1, marker=".", ms=4, label="readings")
    for i, block in enumerate(blocks):
        level = int(change[block.lowest])
        ends = [xs[block.start], xs[min(block.stop, len(xs) - 1)]]
        label = "lowest of each block" if i == 0 else None
        axes.plot(ends, [level, level], color=color, lw=2.5, solid_capstyle="butt", label=label)
        axes.plot([xs[block.lowest]], [level], color=color, marker="o", mfc="white", ms=6)
    _title(axes, f"{words.metric_name(wanted)}: {words.growth(wanted, test.per_iteration)} per iteration")
    axes.set_xlabel("iteration" if at is not None else "seconds")
    axes.set_ylabel("change")
    axes.legend(frameon=False)
    _ticks(axes, int(change.min()), int(change.max()), sizes=wanted.endswith("_bytes"), signed=True)
    return _tidy(axes)


@_draw.register(Timeline)
def _timeline(timeline: Timeline, ax: Axes | None, metric: str | None) -> Axes:
    names = [name for name in timeline.metrics if name != "iteration"]
    wanted = metric if metric is not None else "rss_bytes" if "rss_bytes" in names else next(iter(names), "")
    if wanted not in names or not len(timeline):
        raise UnavailableError(f"nothing to plot: no samples of {wanted or 'any metric'}")
    axes = _axes(ax)
    values = timeline.metrics[wanted]
    kept = extremes(timeline.time_s, values, _BUCKETS)
    top = int(values.argmax())
    axes.plot(timeline.time_s[kept], values[kept], color=LIGHT["accent"], lw=1.5)
    axes.plot([timeline.time_s[top]], [values[top]], color=LIGHT["accent"], marker="o", mfc="white", ms=6)
    _title(axes, f"{words.metric_name(wanted)}: greatest {words.amount(wanted, int(values[top]))}")
    axes.set_xlabel("seconds")
    _ticks(axes, int(values.min()), int(values.max()), sizes=wanted.endswith("_bytes"))
    return _tidy(axes)


@_draw.register(Capture)
def _capture(capture: Capture, ax: Axes | None, metric: str | None) -> Axes:
    holding = (line for line in capture.timelines().values() if metric in line.metrics)
    timeline = next(holding, capture.timeline)
    axes = _draw(timeline, ax, metric)
    values = capture.timeline.metrics.get("rss_bytes")
    rss = values is not None and len(values) > 0 and metric in (None, "rss_bytes")
    heights = decorate(axes, capture, rss=rss)
    if rss and heights and values is not None:
        _ticks(axes, min(int(values.min()), *heights), max(int(values.max()), *heights), sizes=True)
        if capture.spans or capture.marks:
            leave_room(axes, capture, max(heights))
    if rss and capture.peak is not None:
        peak = capture.peak
        name = words.metric_name("rss_bytes")
        _title(axes, f"{name}: peak {format_bytes(peak.value_bytes)} ({peak.source})")
    if any(not name.startswith("_") for name in axes.get_legend_handles_labels()[1]):
        axes.legend(frameon=False, fontsize="small", loc="lower right")
    return axes


@_draw.register(CaptureComparison)
def _comparison(comparison: CaptureComparison, ax: Axes | None, metric: str | None) -> Axes:
    read = [name for side in (comparison.first, comparison.second) for name in side.timeline.metrics]
    wanted = metric or ("rss_bytes" if "rss_bytes" in read else next(iter(read), "rss_bytes"))
    axes = _axes(ax)
    bounds = overlay(axes, comparison, wanted)
    if bounds is None:
        raise UnavailableError(f"nothing to plot: neither recording has samples of {wanted}")
    _ticks(axes, *bounds, sizes=wanted.endswith("_bytes"))
    _title(axes, comparison_headline(comparison))
    axes.set_xlabel(
        f"seconds since {words.printable(comparison.aligned_at, 40) or 'the start'}", parse_math=False
    )
    return _tidy(axes)


@_draw.register(GcPauses)
def _gc_pauses(pauses: GcPauses, ax: Axes | None, _metric: str | None) -> Axes:
    if not len(pauses):
        raise UnavailableError("nothing to plot: the collector did not run")
    axes = _axes(ax)
    axes.vlines(pauses.start_s, 0, pauses.pause_s * 1000, color=LIGHT["accent"], lw=1)
    axes.plot(pauses.start_s, pauses.pause_s * 1000, color=LIGHT["accent"], marker="o", ms=3, ls="")
    _title(axes, f"{len(pauses):,} collections, {format_seconds(pauses.total_s)} in all")
    axes.set_xlabel("seconds")
    axes.set_ylabel("pause in milliseconds")
    axes.set_ylim(bottom=0)
    return _tidy(axes)


@_draw.register(Snapshot)
def _snapshot(snapshot: Snapshot, ax: Axes | None, _metric: str | None) -> Axes:
    lines = top_lines(snapshot)[:_MOST_BARS]
    if not lines:
        raise UnavailableError("nothing to plot: the snapshot is empty")
    axes = _bars(
        _axes(ax),
        [words.place(line.frame) for line in lines],
        [line.size_bytes for line in lines],
        [LIGHT["accent"]] * len(lines),
    )
    _title(axes, f"{format_bytes(snapshot.total_bytes)} live, greatest lines")
    return _tidy(axes)


@_draw.register(SnapshotTable)
def _snapshot_table(table: SnapshotTable, ax: Axes | None, _metric: str | None) -> Axes:
    if not len(table):
        raise UnavailableError("nothing to plot: the snapshot is empty")
    shown = table.sites[:_MOST_BARS]
    names = [words.place(total.site.frame) for total in shown]
    axes = _bars(_axes(ax), names, [total.size_bytes for total in shown], [LIGHT["accent"]] * len(shown))
    _title(axes, f"{format_bytes(table.total_bytes)} live, by {table.by}")
    return _tidy(axes)


@_draw.register(SnapshotDiff)
def _diff(diff: SnapshotDiff, ax: Axes | None, _metric: str | None) -> Axes:
    sites = diff.sites[:_MOST_BARS]
    if not sites:
        raise UnavailableError("nothing to plot: the two snapshots do not differ")
    axes = _bars(
        _axes(ax),
        [words.place(site.site.frame) for site in sites],
        [site.size_diff_bytes for site in sites],
        [LIGHT["grew"] if site.size_diff_bytes > 0 else LIGHT["shrank"] for site in sites],
    )
    axes.axvline(0, color=LIGHT["muted"], lw=1)
    _title(axes, f"{format_signed_bytes(diff.total_diff_bytes)} between the two snapshots")
    return _tidy(axes)


@_draw.register(MemitResult)
def _memit(result: MemitResult, ax: Axes | None, _metric: str | None) -> Axes:
    axes = _axes(ax)
    repeats = list(range(1, len(result.peaks_bytes) + 1))
    axes.plot(repeats, result.peaks_bytes, color=LIGHT["accent"], marker="o", ls="")
    axes.axhline(result.baseline_bytes, color=LIGHT["muted"], lw=1, ls="--", label="baseline")
    axes.set_xticks(repeats)
    axes.set_xlabel("repeat")
    axes.set_ylabel("peak RSS")
    axes.legend(frameon=False)
    everything = (*result.peaks_bytes, result.baseline_bytes)
    _ticks(axes, min(everything), max(everything), sizes=True)
    return _tidy(axes)


@_draw.register(CellLedger)
def _cell_ledger(ledger: CellLedger, ax: Axes | None, _metric: str | None) -> Axes:
    title, bars = ledger_bars(ledger)
    if not bars:
        raise UnavailableError("nothing to plot: no cell has a peak that is known")
    shown = bars[-_MOST_BARS:]
    axes = _bars(
        _axes(ax), [name for name, _ in shown], [size for _, size in shown], [LIGHT["accent"]] * len(shown)
    )
    _title(axes, title)
    return _tidy(axes)


@_draw.register(LineProfile)
def _line_profile(profile: LineProfile, ax: Axes | None, _metric: str | None) -> Axes:
    title, bars = line_bars(profile)
    if not bars:
        raise UnavailableError("nothing to plot: no line took memory or gave it back")
    shown = bars[:_MOST_BARS]
    axes = _bars(
        _axes(ax), [name for name, _ in shown], [size for _, size in shown], [LIGHT["accent"]] * len(shown)
    )
    _title(axes, title)
    return _tidy(axes)


@_draw.register(HeapTree)
def _heap_tree(tree: HeapTree, ax: Axes | None, _metric: str | None) -> Axes:
    if len(tree.parent) < 2:  # noqa: PLR2004 - the whole, and something in it
        raise UnavailableError("nothing to plot: the tree is empty")
    axes = _rectangles(treemap_block(tree), _axes(ax))
    _title(axes, f"{format_bytes(tree.total_bytes)} by what keeps it: areas are retained sizes")
    return axes


@_draw.register(FlameTree)
def _flame(tree: FlameTree, ax: Axes | None, _metric: str | None) -> Axes:
    if len(tree) < 2:  # noqa: PLR2004 - the root, and something in it
        raise UnavailableError("nothing to plot: the tree is empty")
    axes = _rectangles(flame_block(tree), _axes(ax))
    live = f"{format_bytes(tree.total_bytes)} live"
    grown = f", {format_signed_bytes(tree.total_diff_bytes)}" if tree.before is not None else ""
    _title(axes, f"{live}{grown}, by call path")
    return axes


def _rectangles(block: Treemap, axes: Axes) -> Axes:
    """Draw the rectangles that the page draws, with their legend."""
    from matplotlib.patches import Patch, Rectangle

    hues, edges = tints(LIGHT), {"grew": LIGHT["grew"], "shra": LIGHT["shrank"], "same": LIGHT["muted"]}
    fills = tones(LIGHT)
    for cell in block.cells:
        box = Rectangle((cell.x, cell.y), cell.width, cell.height)
        box.set(facecolor=fills[cell.tone] if cell.tone else hues[max(cell.hue, 0)])
        box.set(lw=0.6 if cell.inner or block.view == "graph" else 1.2)
        box.set_edgecolor("white" if cell.inner or block.view == "graph" else LIGHT["muted"])
        if cell.tone.startswith("shrank"):
            box.set(edgecolor=LIGHT["shrank"], ls="--")
        axes.add_patch(box)
        for text in cell.texts:
            written = axes.text(cell.x + 6, cell.y + 4, text, fontsize=6, va="top", parse_math=False)
            written.set_clip_path(box)
    axes.set(xlim=(0, block.width), ylim=(block.height, 0), xticks=[], yticks=[])
    patches = [Patch(facecolor=hues[hue], edgecolor=LIGHT[HUES[hue]]) for hue, _ in block.legend]
    patches += [Patch(facecolor=fills[tone], edgecolor=edges[tone[:4]]) for tone, _ in block.tones]
    names = [_plain(name) for _, name in (*block.legend, *block.tones)]
    columns = len(block.tones) or 3
    legend = axes.legend(patches, names, ncols=columns, frameon=False, fontsize="x-small", loc="upper center")
    legend.set_bbox_to_anchor((0.5, 0.0))
    for said in legend.get_texts():
        said.set_parse_math(False)
    axes.spines[:].set_visible(False)
    return axes


@_draw.register(HeapGraph)
def _heap_graph(graph: HeapGraph, ax: Axes | None, metric: str | None) -> Axes:
    return _draw(graph.dominator_tree(), ax, metric)


def _heap_bars(result: Result, ax: Axes | None, _metric: str | None) -> Axes:
    title, bars = BARS[type(result)](result)
    if not bars:
        raise UnavailableError(f"nothing to plot: this {result.kind} is empty")
    shown = bars[:_MOST_BARS]
    colors = [LIGHT["accent"]] * len(shown)
    if isinstance(result, HeapDiff):
        colors = [LIGHT["grew"] if size > 0 else LIGHT["shrank"] for _, size in shown]
    axes = _bars(_axes(ax), [name for name, _ in shown], [size for _, size in shown], colors)
    if isinstance(result, HeapDiff):
        axes.axvline(0, color=LIGHT["muted"], lw=1)
    _title(axes, title)
    return _tidy(axes)


for _kind in BARS:
    _draw.register(_kind, _heap_bars)


_DRAWERS = {**POOL_DRAWERS, **GC_DRAWERS, **WHERE_DRAWERS, **SITE_DRAWERS, **FIX_DRAWERS, **BENCH_DRAWERS}


def _picture(result: Result, ax: Axes | None, _metric: str | None) -> Axes:
    axes = _axes(ax)
    _DRAWERS[type(result)](result, axes)
    return _tidy(axes)


for _pictured in _DRAWERS:
    _draw.register(_pictured, _picture)


@_draw.register(PressureRun)
def _pressure(run: PressureRun, ax: Axes | None, metric: str | None) -> Axes:
    if metric in (None, "rss_bytes") and "ballast_bytes" in run.timeline.metrics and len(run.timeline):
        axes = _draw(run.timeline, ax, "rss_bytes" if "rss_bytes" in run.timeline.metrics else None)
        ballast = run.timeline.metrics["ballast_bytes"]
        kept = extremes(run.timeline.time_s, ballast, _BUCKETS)
        axes.fill_between(
            run.timeline.time_s[kept], ballast[kept], color=LIGHT["muted"], alpha=0.25, lw=0, label="ballast"
        )
    else:
        axes = _draw(run.timeline, ax, metric)
    if metric in (None, "rss_bytes"):
        axes.axhline(run.budget_bytes, color=LIGHT["grew"], lw=1, ls="--", label="budget")
        _ticks(axes, 0, max(run.budget_bytes, run.peak_rss_bytes or 0), sizes=True)
        axes.legend(frameon=False, loc="lower right")
    for phase in run.phases:
        axes.axvline(phase.start_s, color=LIGHT["muted"], lw=1, ls=":")
    _title(axes, f"{run.scenario}: {run.outcome.value}")
    return axes


@_draw.register(PostMortem)
def _post_mortem(found: PostMortem, ax: Axes | None, metric: str | None) -> Axes:
    axes = _draw(found.timeline, ax, metric)
    if found.limit_bytes is not None and metric in (None, "rss_bytes"):
        axes.axhline(found.limit_bytes, color=LIGHT["grew"], lw=1, ls="--")
        _ticks(axes, 0, max(found.limit_bytes, found.peak_rss_bytes or 0), sizes=True)
    if found.acted_s is not None:
        axes.axvline(found.acted_s, color=LIGHT["grew"], lw=1)
    return axes


@_draw.register(Report)
def _report(report: Report, ax: Axes | None, metric: str | None) -> Axes:
    for part in report.parts:
        if part.result is not None and not isinstance(part.result, Explanation):
            return _draw(part.result, ax, metric)
    raise UnavailableError("this report holds no result that could be plotted")


# -- parts


def _bars(axes: Axes, names: Sequence[str], sizes: Sequence[int], colors: Sequence[str]) -> Axes:
    places = list(range(len(names)))
    axes.barh(places, sizes, color=list(colors), height=0.7)
    axes.set_yticks(places, [_plain(name) for name in names], fontsize="small", parse_math=False)
    axes.invert_yaxis()
    low, high = min(0, *sizes), max(0, *sizes)
    ticks = round_ticks(low, high, sizes=True)
    labels = [tick_label(t, ticks[1] - ticks[0], sizes=True) for t in ticks]
    axes.set_xticks(list(ticks), labels)
    return axes


def _ticks(axes: Axes, low: int, high: int, *, sizes: bool, signed: bool = False) -> None:
    ticks = round_ticks(low, high, sizes=sizes)
    labels = [tick_label(t, ticks[1] - ticks[0], sizes=sizes, signed=signed) for t in ticks]
    axes.set_yticks(list(ticks), labels)


def _title(axes: Axes, text: str) -> None:
    axes.set_title(words.printable(text, 120), parse_math=False)


def _tidy(axes: Axes) -> Axes:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, axis="both", color=LIGHT["line"], lw=0.6)
    axes.set_axisbelow(True)
    return axes


def _plain(name: str) -> str:
    """Return a foreign name cut to the room there is (its end tells most)."""
    shown = words.printable(name)
    return shown if len(shown) <= _LONGEST_NAME else "…" + shown[1 - _LONGEST_NAME :]

"""Every other kind of result as a page: explanation, snapshot, difference, capture, timeline, memit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memlab._base.units import format_bytes, format_seconds, format_signed_bytes
from memlab.views import words
from memlab.views.charts import timeline_chart
from memlab.views.leak_page import MOST_ROWS, chain_block, site_cell
from memlab.views.page import Bar, Cell, Charts, Column, Facts, Figure, Page, Section, Table, Texts
from memlab.views.recording_parts import recording_sections
from memlab.views.sites import top_lines

if TYPE_CHECKING:
    from memlab.records.capture import Capture, Peak
    from memlab.records.chain import Explanation
    from memlab.records.memit import MemitResult
    from memlab.records.snapshot import SiteDiff, Snapshot, SnapshotDiff
    from memlab.records.timeline import Timeline
    from memlab.views.page import Block

__all__ = [
    "capture_page",
    "diff_page",
    "explanation_page",
    "memit_page",
    "snapshot_page",
    "timeline_page",
]

_MOST_CHAINS = 20
_MOST_CHARTS = 6
_HALF = 50.0


def explanation_page(explanation: Explanation) -> Page:
    """Return the page of who holds an object."""
    shown = explanation.chains[:_MOST_CHAINS]
    blocks = tuple(chain_block(chain) for chain in shown)
    cut = len(explanation.chains) - len(shown)
    sections = [
        Section(
            "chains",
            "What holds it",
            blocks,
            (
                "From the root at the top, down to the object."
                + (f" {cut:,} more are not drawn." if cut else "")
            )
            if blocks
            else "No chain of references from a root was found.",
        )
    ]
    sections += _notes(explanation.notes)
    count = explanation.refcount
    name = words.type_text(explanation.type_name)
    rows = tuple(
        (
            Cell(chain.root.value),
            Cell(words.chain_text(chain), mono=True),
            Cell(words.root_sentence(chain.root)),
        )
        for chain in shown
    )
    columns = (Column("Root"), Column("Chain"), Column("What the root is"))
    return Page(
        kind="explanation",
        title=f"Who holds {name}",
        headline=f"Who holds this {name}",
        lead=explanation.verdict,
        badge=None,
        figures=(
            Figure("References", f"{count:,}", "counted by the interpreter")
            if count is not None
            else Figure("References", None, "the interpreter keeps no count of this object"),
            Figure("Holders seen", f"{explanation.holders:,}", "references found in Python objects"),
            Figure(
                "Objects searched",
                f"{explanation.searched:,}",
                "" if explanation.complete else "the search stopped at its limit: there may be more",
            ),
        ),
        next_steps=(),
        sections=tuple(sections),
        brief=Table("brief", "Chains", columns, rows, len(explanation.chains)) if rows else None,
        height=420,
    )


def snapshot_page(snapshot: Snapshot) -> Page:
    """Return the page of a snapshot: its greatest lines."""
    lines = top_lines(snapshot)
    most = max((line.size_bytes for line in lines), default=0) or 1
    columns = (
        Column("Allocating line"),
        Column("Size", number=True),
        Column("Share", number=True),
        Column("Blocks", number=True),
    )
    total = snapshot.total_bytes or 1
    rows = tuple(
        (
            site_cell(line.frame),
            Cell(
                format_bytes(line.size_bytes),
                sort=float(line.size_bytes),
                bar=Bar(0.0, round(line.size_bytes / most * 100, 1), "accent"),
            ),
            Cell(f"{line.size_bytes / total * 100:.1f} %", sort=line.size_bytes / total),
            Cell(f"{line.blocks:,}", sort=float(line.blocks)),
        )
        for line in lines[:MOST_ROWS]
    )
    table = Table("lines", "Lines that allocated most", columns, rows, len(lines))
    return Page(
        kind="snapshot",
        title=f"Snapshot {snapshot.label}".strip(),
        headline=f"{format_bytes(snapshot.total_bytes)} live in {snapshot.total_blocks:,} blocks",
        lead=f"Live memory by allocating line{f': {snapshot.label}' if snapshot.label else ''}.",
        badge=None,
        figures=(
            Figure("Live", format_bytes(snapshot.total_bytes), f"on the books of {snapshot.engine}"),
            Figure("Blocks", f"{snapshot.total_blocks:,}"),
            Figure("Lines", f"{len(lines):,}", "that allocated what is alive"),
            Figure("Depth", f"{snapshot.depth:,}", "frames kept for each block"),
        ),
        next_steps=(),
        sections=(Section("lines-section", "By line", (table,)), *_notes(snapshot.notes)),
        brief=_first_rows(table),
        height=560,
    )


def diff_page(diff: SnapshotDiff) -> Page:
    """Return the page of what changed between two snapshots."""
    names = " to ".join(name for name in (diff.older_label, diff.newer_label) if name)
    most = int(abs(diff.size_diff_bytes).max(initial=0)) or 1
    columns = (
        Column("Site"),
        Column("Growth", number=True),
        Column("Less / more"),
        Column("Blocks", number=True),
        Column("Size now", number=True),
        Column("Change"),
    )
    rows = tuple(_diff_row(site, most) for site in diff.sites[:MOST_ROWS])
    table = Table("changes", f"What changed, by {diff.by}", columns, rows, len(diff.sites))
    fates = ", ".join(f"{count:,} {change.value}" for change, count in diff.counts().items())
    return Page(
        kind="snapshot difference",
        title=f"Growth {names}".strip(),
        headline=f"{format_signed_bytes(diff.total_diff_bytes)} between the two snapshots",
        lead=f"What changed from {names}." if names else "What changed between two snapshots.",
        badge=None,
        figures=(
            Figure("Growth", format_signed_bytes(diff.total_diff_bytes), f"on the books of {diff.engine}"),
            Figure("Blocks", words.growth("blocks", diff.total_diff_blocks)),
            Figure("Sites that changed", f"{len(diff.sites):,}", fates),
        ),
        next_steps=(),
        sections=(Section("changes-section", "By site", (table,)), *_notes(diff.notes)),
        brief=_first_rows(table, without=2),
        height=560,
    )


def _diff_row(site: SiteDiff, most: int) -> tuple[Cell, ...]:
    width = round(max(abs(site.size_diff_bytes) / most * _HALF, 0.6 if site.size_diff_bytes else 0.0), 1)
    tone = "grew" if site.size_diff_bytes > 0 else "shrank" if site.size_diff_bytes < 0 else ""
    bar = Bar(_HALF if site.size_diff_bytes >= 0 else round(_HALF - width, 1), width, tone)
    return (
        site_cell(site.site.frame),
        Cell(format_signed_bytes(site.size_diff_bytes), sort=float(site.size_diff_bytes), tone=tone),
        Cell("", sort=float(site.size_diff_bytes), bar=bar),
        Cell(words.growth("blocks", site.blocks_diff), sort=float(site.blocks_diff)),
        Cell(format_bytes(site.size_bytes), sort=float(site.size_bytes)),
        Cell(site.change.value),
    )


def capture_page(capture: Capture) -> Page:
    """Return the page of a recording."""
    timeline, peak = capture.timeline, capture.peak
    sections = list(_timeline_sections(timeline, capture))
    if capture.marks:
        columns = (Column("Mark"), Column("At", number=True))
        rows = tuple(
            (Cell(mark.label), Cell(format_seconds(mark.time_s), sort=mark.time_s))
            for mark in capture.marks[:MOST_ROWS]
        )
        table = Table("marks", "Named moments", columns, rows, len(capture.marks))
        sections.append(Section("marks-section", "Marks", (table,)))
    sections += recording_sections(capture)
    sections += _notes(capture.notes)
    if capture.environment:
        facts = Facts(words.environment_facts(capture.environment))
        sections.append(Section("run", "Where it was recorded", (facts,)))
    return Page(
        kind="recording",
        title="Recording",
        headline=f"Peak {format_bytes(peak.value_bytes)}" if peak is not None else "Peak not known",
        lead=_peak_sentence(peak) + ("" if capture.complete else " The recording was cut short."),
        badge=None,
        figures=_timeline_figures(timeline, peak),
        next_steps=(),
        sections=tuple(sections),
        brief=_metrics_table(timeline),
        height=640,
    )


def timeline_page(timeline: Timeline) -> Page:
    """Return the page of a timeline."""
    top = timeline.high_water_mark()
    return Page(
        kind="timeline",
        title="Timeline",
        headline=f"Greatest sampled RSS {format_bytes(top)}" if top is not None else "RSS was not sampled",
        lead="What rose and fell between two samples is not seen.",
        badge=None,
        figures=_timeline_figures(timeline, None),
        next_steps=(),
        sections=_timeline_sections(timeline, None),
        brief=_metrics_table(timeline),
        height=640,
    )


def memit_page(result: MemitResult) -> Page:
    """Return the page of a measured statement."""
    exact = result.source == "vmhwm"
    columns = (
        Column("Repeat", number=True),
        Column("Peak", number=True),
        Column("Above baseline", number=True),
    )
    rows = tuple(
        (
            Cell(f"{i}", sort=float(i)),
            Cell(format_bytes(peak), sort=float(peak)),
            Cell(format_signed_bytes(peak - result.baseline_bytes), sort=float(peak)),
        )
        for i, peak in enumerate(result.peaks_bytes[:MOST_ROWS], 1)
    )
    table = Table("repeats", "Repeats", columns, rows, len(result.peaks_bytes))
    return Page(
        kind="statement",
        title="Peak memory of a statement",
        headline=f"Peak {format_bytes(result.peak_bytes)}, {format_signed_bytes(result.increment_bytes)}",
        lead="The kernel's own mark: no spike is missed." if exact else "Sampled: a lower bound.",
        badge=None,
        figures=(
            Figure("Peak", format_bytes(result.peak_bytes), f"greatest RSS ({result.source})"),
            Figure("Increment", format_signed_bytes(result.increment_bytes), "above the baseline"),
            Figure("Baseline", format_bytes(result.baseline_bytes), "RSS before the first repeat"),
        ),
        next_steps=(),
        sections=(Section("repeats-section", "Each repeat", (table,)), *_notes(result.notes)),
        brief=table,
        height=0,
    )


# -- parts


def _timeline_figures(timeline: Timeline, peak: Peak | None) -> tuple[Figure, ...]:
    figures = []
    if peak is not None:
        note = "the kernel's own mark" if peak.source == "vmhwm" else "sampled: a lower bound"
        figures.append(Figure("Peak RSS", format_bytes(peak.value_bytes), note))
        figures.append(Figure("Above the start", format_bytes(peak.increment_bytes)))
    top = timeline.high_water_mark()
    figures.append(
        Figure("Greatest sample", format_bytes(top), "of RSS")
        if top is not None
        else Figure("Greatest sample", None, timeline.absent.get("rss_bytes", "RSS was not read"))
    )
    lasted = float(timeline.time_s[-1] - timeline.time_s[0]) if len(timeline) else 0.0
    figures.append(Figure("Samples", f"{len(timeline):,}", f"in {format_seconds(lasted)}"))
    return tuple(figures)


def _timeline_sections(timeline: Timeline, capture: Capture | None) -> tuple[Section, ...]:
    blocks: list[Block] = []
    if len(timeline):
        shown = list(timeline.metrics)[:_MOST_CHARTS]
        charts = tuple(timeline_chart(timeline, m, i, capture) for i, m in enumerate(shown))
        if charts:
            legend = "The ring marks the greatest sample. Long recordings are thinned; peaks are always kept."
            blocks.append(Charts(charts, legend, wide=True))
        table = _metrics_table(timeline)
        if table is not None:
            blocks.append(table)
    missing = tuple(f"{words.metric_name(k)}: {why}" for k, why in timeline.absent.items())
    if missing:
        blocks.append(Texts("Not read", missing))
    began = f"Began {timeline.started_at}." if timeline.started_at else ""
    intro = began if len(timeline) else "No sample was taken."
    return (Section("time", "Over time", tuple(blocks), intro),)


def _metrics_table(timeline: Timeline) -> Table | None:
    if not len(timeline) or not timeline.metrics:
        return None
    columns = (
        Column("Metric"),
        *(Column(title, number=True) for title in ("First", "Least", "Greatest", "Last")),
        Column("Read from"),
    )
    rows = []
    for metric, values in timeline.metrics.items():
        figures = [int(values[0]), int(values.min()), int(values.max()), int(values[-1])]
        numbers = (Cell(words.amount(metric, f), sort=float(f)) for f in figures)
        source = Cell(timeline.sources.get(metric, "not stated"))
        rows.append((Cell(words.metric_name(metric)), *numbers, source))
    return Table("metrics", "Metrics", columns, tuple(rows[:MOST_ROWS]), len(rows))


def _peak_sentence(peak: Peak | None) -> str:
    if peak is None:
        return "This platform gives no exact mark, and none was sampled."
    source = (
        "It is the kernel's own mark: no spike is missed."
        if peak.source == "vmhwm"
        else "It was sampled: a lower bound."
    )
    start = format_bytes(peak.start_bytes)
    return f"{format_bytes(peak.increment_bytes)} above the {start} at the start. {source}"


def _first_rows(table: Table, rows: int = 10, without: int | None = None) -> Table:
    """Return the top of a table, less the column that only draws."""

    def keep(row: tuple[Cell, ...]) -> tuple[Cell, ...]:
        return tuple(cell for i, cell in enumerate(row) if i != without)

    columns = tuple(column for i, column in enumerate(table.columns) if i != without)
    return Table("brief", table.caption, columns, tuple(keep(r) for r in table.rows[:rows]), table.total)


def _notes(notes: tuple[str, ...]) -> tuple[Section, ...]:
    return (Section("notes", "Notes and limits", (Texts("", notes),)),) if notes else ()

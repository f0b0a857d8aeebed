"""Every other kind of result as a page: explanation, capture, timeline, memit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memlab._base.units import format_bytes, format_seconds, format_signed_bytes
from memlab.views import words
from memlab.views.charts import timeline_chart
from memlab.views.leak_page import MOST_ROWS, chain_block
from memlab.views.page import Cell, Charts, Column, Facts, Figure, Page, Section, Table, Texts
from memlab.views.recording_parts import recording_sections

if TYPE_CHECKING:
    from memlab.records.capture import Capture, Peak
    from memlab.records.chain import Explanation
    from memlab.records.memit import MemitResult
    from memlab.records.timeline import Timeline
    from memlab.views.page import Block

__all__ = [
    "capture_page",
    "explanation_page",
    "memit_page",
    "timeline_page",
]

_MOST_CHAINS = 20
_MOST_CHARTS = 6


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


def _notes(notes: tuple[str, ...]) -> tuple[Section, ...]:
    return (Section("notes", "Notes and limits", (Texts("", notes),)),) if notes else ()

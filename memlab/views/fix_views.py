"""Whether a change mended a leak, in every view: the verdict, the rates side by side, the suspects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memlab.errors import UnavailableError
from memlab.records.fix_check import FixCheck, FixVerdict
from memlab.views import words
from memlab.views.charts import growth_chart
from memlab.views.layout import columns, wrap
from memlab.views.leak_page import site_cell
from memlab.views.page import (
    Badge,
    Cell,
    Charts,
    Column,
    Facts,
    Figure,
    Page,
    Section,
    Table,
    Texts,
    type_cell,
)
from memlab.views.palette import LIGHT

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

    from memlab.records._result import Result
    from memlab.records.fix_check import RateChange
    from memlab.records.leak_report import LeakReport
    from memlab.views.page import Block

__all__ = ["DRAWERS", "PAGES", "RENDERERS", "ROWS"]

_TONES = {
    FixVerdict.FIXED: "good",
    FixVerdict.BETTER: "warn",
    FixVerdict.SAME: "plain",
    FixVerdict.WORSE: "bad",
    FixVerdict.INCONCLUSIVE: "plain",
}
_MOST = 10
_MOST_CHARTS = 6
_LEGEND = "Each point is a reading after a round of iterations; the thick steps are the lowest in each block."


def _grown(metric: str, rate: float | None) -> str:
    return "not tested" if rate is None else words.growth(metric, rate) if rate else "no lasting growth"


def _cells(rate: RateChange) -> tuple[str, str, str, str]:
    return (
        words.printable(words.metric_name(rate.metric), 60),
        _grown(rate.metric, rate.before),
        _grown(rate.metric, rate.after),
        words.printable(rate.change, 20) or "not told",
    )


def _interval(metric: str, low: float, high: float) -> str:
    return f"{words.growth(metric, low)} to {words.growth(metric, high)}"


def _suspects(check: FixCheck) -> tuple[tuple[str, str], ...]:
    return (
        *((words.printable(name, 120), "gone") for name in check.gone),
        *((words.printable(name, 120), "still there") for name in check.left),
        *((words.printable(name, 120), "new") for name in check.new),
    )


def _text(check: FixCheck) -> str:
    lines = wrap(f"{check.verdict.value.upper()}: {words.printable(check.reason)}", 0, 2)
    lines += wrap(
        f"before: {check.before.verdict.value}, {words.printable(words.headline(check.before))}", 2, 4
    )
    lines += wrap(f"after: {check.after.verdict.value}, {words.printable(words.headline(check.after))}", 2, 4)
    if check.rates:
        titles = ("growth per iteration", "before", "after", "change")
        rows = [_cells(rate) for rate in check.rates]
        lines += ["", *columns(titles, rows, (False, True, True, False))]
    found = _suspects(check)
    if found:
        lines += ["", *columns(("suspect", "now"), list(found[:_MOST]), (False, False))]
    if check.notes:
        lines += ["", "Notes"]
    lines += [line for note in check.notes for line in wrap(f"- {words.printable(note)}", 2, 4)]
    return "\n".join(lines)


def _tests(when: str, report: LeakReport, first: int) -> Section | None:
    drawn = [
        growth_chart(report.series, test, first + i) for i, test in enumerate(report.tests[:_MOST_CHARTS])
    ]
    charts = tuple(chart for chart in drawn if chart is not None)
    if not charts:
        return None
    return Section(f"evidence-{when}", f"The evidence {when} the change", (Charts(charts, _LEGEND),))


def _suspect_table(when: str, report: LeakReport) -> Section | None:
    """Return what leaked in one of the two, with its line and its holder."""
    if not report.suspects:
        return None
    rows = []
    for suspect in report.suspects[:_MOST]:
        where = (suspect.site.user or suspect.site.frame) if suspect.site is not None else None
        rows.append(
            (
                type_cell(suspect.type_name),
                Cell(words.suspect_objects(suspect)),
                site_cell(where) if where is not None else Cell("not traced"),
                Cell(words.chain_text(suspect.chain), mono=True)
                if suspect.chain is not None
                else Cell("nothing seen in Python"),
                Cell(suspect.prose),
            )
        )
    heads = (
        Column("Suspect"), Column("Left per iteration", number=True), Column("Line"), Column("Held by"),
        Column("In words"),
    )  # fmt: skip
    caption = f"Suspects {when} the change"
    table = Table(f"suspects-{when}", caption, heads, tuple(rows), len(report.suspects))
    return Section(f"suspects-{when}-section", caption, (table,))


def _run(check: FixCheck) -> Section:
    facts = []
    for when, report in (("before", check.before), ("after", check.after)):
        facts.append((f"Step {when}", report.step))
        facts.append((f"Iterations {when}", words.protocol_sentence(report.protocol)))
        facts.append((f"Verdict {when}", f"{report.verdict.value}: {report.reason}"))
        facts += [(f"{name} {when}", value) for name, value in words.environment_facts(report.environment)]
    notes = tuple(dict.fromkeys((*check.notes, *check.before.notes, *check.after.notes)))
    blocks: list[Block] = [Facts(tuple(facts))]
    if notes:
        blocks.append(Texts("Notes and limits", notes))
    return Section("run", "How it was run", tuple(blocks))


def _page(check: FixCheck) -> Page:
    rows = tuple(
        (
            Cell(name),
            Cell(before, sort=rate.before),
            Cell(after, sort=rate.after),
            Cell(_interval(rate.metric, rate.before_low, rate.before_high)),
            Cell(
                f"{words.growth(rate.metric, rate.after_low)} to {words.growth(rate.metric, rate.after_high)}"
            ),
            Cell(change),
        )
        for rate, (name, before, after, change) in ((rate, _cells(rate)) for rate in check.rates)
    )
    heads = (
        Column("Growth per iteration"), Column("Before", number=True), Column("After", number=True),
        Column("95 % before", number=True), Column("95 % after", number=True), Column("Change"),
    )  # fmt: skip
    rates = Table("rates", "Rates before and after", heads, rows, len(rows))
    sections = [Section("rates-section", "Before and after", (rates,))]
    found = _suspects(check)
    if found:
        table = Table(
            "suspects-now",
            "Suspects",
            (Column("Suspect"), Column("Now")),
            tuple((Cell(name, mono=True), Cell(state)) for name, state in found),
            len(found),
        )
        sections.append(Section("suspects-section", "What became of the suspects", (table,)))
    for when, report, first in (("before", check.before, 0), ("after", check.after, _MOST_CHARTS)):
        tests = _tests(when, report, first)
        sections += [section for section in (_suspect_table(when, report), tests) if section is not None]
    sections.append(_run(check))
    return Page(
        kind="fix check",
        title=f"{check.verdict.value}: {check.after.step}",
        headline=words.sentence(check.reason),
        lead=f"Before: {check.before.verdict.value}. After: {check.after.verdict.value}.",
        badge=Badge(check.verdict.value, _TONES[check.verdict]),
        figures=(
            Figure("Iterations before", f"{check.before.protocol.iterations:,}"),
            Figure("Iterations after", f"{check.after.protocol.iterations:,}"),
        ),
        next_steps=(),
        sections=tuple(sections),
        brief=rates,
        height=560,
    )


def _rows(check: FixCheck) -> Any:
    names = (
        "metric", "before", "after", "before_low", "before_high", "after_low", "after_high", "change"
    )  # fmt: skip
    return names, [tuple(getattr(rate, name) for name in names) for rate in check.rates]


def _draw(check: FixCheck, axes: Axes) -> None:
    """Draw each metric's rate after the change as a share of that before it."""
    shown = [rate for rate in check.rates if rate.before and rate.after is not None]
    if not shown:
        raise UnavailableError("nothing to plot: no metric rose before the change and was tested after it")
    for place, rate in enumerate(shown):
        assert rate.before is not None
        assert rate.after is not None
        share = 100 * rate.after / rate.before
        color = LIGHT["grew"] if rate.change == "worse" else LIGHT["accent"]
        axes.barh(place, 100, height=0.7, fill=False, ec=LIGHT["muted"], ls=":")
        axes.barh(place, share, height=0.5, color=color)
    axes.set_yticks(range(len(shown)), [words.metric_name(rate.metric) for rate in shown], fontsize="small")
    axes.invert_yaxis()
    axes.set_xlabel("growth per iteration after the change, per cent of before (dotted)")
    axes.set_title(f"{check.verdict.value}", parse_math=False)


RENDERERS: dict[type[Result], Callable[[Any], str]] = {FixCheck: _text}
PAGES: dict[type[Result], Callable[[Any], Page]] = {FixCheck: _page}
ROWS: dict[type[Result], Callable[[Any], Any]] = {FixCheck: _rows}
DRAWERS: dict[type[Result], Callable[[Any, Any], None]] = {FixCheck: _draw}

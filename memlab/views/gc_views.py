"""The collector: its figures, an optimizer's decisions, a recommended setting, in every view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memlab._base.units import format_bytes, format_seconds
from memlab.analyses.gc_choice import paired
from memlab.errors import UnavailableError
from memlab.records.gc_results import GcAdvice, GcDecisions, GcStats
from memlab.views import words
from memlab.views.layout import WIDTH, columns, fit, labelled, wrap
from memlab.views.page import Badge, Cell, Column, Facts, Figure, Page, Section, Table, Texts
from memlab.views.palette import LIGHT
from memlab.views.pool_plots import plain_ticks

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

    from memlab.records._result import Result
    from memlab.records.gc_results import GcTrial
    from memlab.views.page import Block

__all__ = ["DRAWERS", "PAGES", "RENDERERS", "ROWS"]

_LABELS = 18
_MOST = 20
_MOST_ROWS = 200
_MIB = 1024 * 1024
_TITLES = ("setting", "processor time", "pauses", "p99 pause", "longest", "runs", "peak memory")


def _pause(value: float | None) -> str:
    return format_seconds(value) if value is not None else "not known: the collector did not run"


def _stats_facts(stats: GcStats) -> list[tuple[str, str, str]]:
    generations = ", ".join(
        f"{count:,} of generation {g}" for g, count in stats.by_generation.items() if count
    )
    share = f"{stats.share * 100:.2g} %" if stats.share is not None else "not known"
    facts = [
        ("collections", f"{stats.collections:,}", generations or "none"),
        ("time in them", format_seconds(stats.total_pause), f"{share} of {format_seconds(stats.lasted_s)}"),
        ("mean pause", _pause(stats.mean_pause), "over all generations"),
        ("median pause", _pause(stats.median_pause), "half are shorter"),
        ("p99 pause", _pause(stats.p99_pause), "one in a hundred is longer"),
        ("longest pause", _pause(stats.max_pause), "the interpreter ran nothing else"),
        ("collected", f"{stats.collected:,}", "objects freed"),
        ("uncollectable", f"{stats.uncollectable:,}", "garbage that could not be freed"),
    ]
    if stats.dropped:
        facts.append(("not kept", f"{stats.dropped:,}", "older collections: in the number, not in the times"))
    return facts


def _stats_headline(stats: GcStats) -> str:
    if stats.share is None:
        return f"{stats.collections:,} collections, {format_seconds(stats.total_pause)} in all"
    return f"{stats.collections:,} collections took {stats.share * 100:.2g} % of the time"


def _thresholds(values: tuple[int, ...]) -> str:
    return "(" + ", ".join(f"{value:,}" for value in values) + ")"


def _decisions_headline(decisions: GcDecisions) -> str:
    changes = sum(decision.before != decision.after for decision in decisions)
    return f"{len(decisions):,} decisions, {changes:,} of them changed the thresholds"


def _decision_rows(decisions: GcDecisions) -> list[tuple[str, str, str, str, str]]:
    return [
        (
            format_seconds(d.time_s),
            words.printable(d.action, 20),
            _thresholds(d.before),
            _thresholds(d.after),
            words.printable(d.reason, 300),
        )
        for d in decisions
    ]


def _advice_headline(advice: GcAdvice) -> str:
    if advice.helps:
        return f"Take {advice.recommended}: {advice.reason}"
    return f"Leave the collector as it is: {advice.reason}"


def _change(own: GcTrial, trial: GcTrial, column: str) -> str:
    ratio = paired(own, trial, column)
    return f" ({(ratio - 1) * 100:+.0f} %)" if trial is not own and ratio < 100 else ""  # noqa: PLR2004 - absurd


def _trial_rows(advice: GcAdvice) -> list[tuple[str, ...]]:
    if not advice.trials:
        return []
    own = advice.trials[0]
    return [
        (
            words.printable(trial.name, 40)
            + (" *" if trial.name == advice.recommended and advice.helps else ""),
            format_seconds(trial.middle("cpu_s")) + _change(own, trial, "cpu_s"),
            format_seconds(trial.middle("pause_s")),
            format_seconds(trial.middle("p99_s")) + _change(own, trial, "p99_s"),
            format_seconds(trial.middle("max_s")),
            f"{trial.middle('collections'):,.0f}",
            format_bytes(trial.middle("peak_bytes")) if trial.middle("peak_bytes") else "not known",
        )
        for trial in advice.trials
    ]


# -- text


def _notes(notes: tuple[str, ...]) -> list[str]:
    lines = [line for note in notes for line in wrap(f"- {words.printable(note)}", 2, 4)]
    return ["", "Notes", *lines] if lines else []


def _stats_text(stats: GcStats) -> str:
    lines = [*wrap(f"Collector: {_stats_headline(stats)}", 0, 2), ""]
    for name, figure, meaning in _stats_facts(stats):
        lines += labelled(name, words.printable(f"{figure}  ({meaning})"), 2, _LABELS)
    return "\n".join(lines + _notes(stats.notes))


def _decisions_text(decisions: GcDecisions) -> str:
    lines = wrap(f"Optimizer: {_decisions_headline(decisions)}", 0, 2)
    for at, action, before, after, reason in _decision_rows(decisions)[:_MOST]:
        changed = f"{before} -> {after}" if before != after else before
        lines += wrap(f"{at}  {action}  {changed}: {reason}", 2, 4)
    if len(decisions) > _MOST:
        lines.append(f"  and {len(decisions) - _MOST:,} more")
    return "\n".join(lines + _notes(decisions.notes))


def _advice_text(advice: GcAdvice) -> str:
    lines = wrap(words.printable(_advice_headline(advice)), 0, 2)
    if advice.code:
        lines += [
            "",
            *(f"    {fit(words.printable(line), WIDTH - 4)}".rstrip() for line in advice.code.splitlines()),
        ]
    rows = _trial_rows(advice)
    if rows:
        lines += ["", *columns(_TITLES, rows, (False, True, True, True, True, True, True))]
    rounds = len(advice.trials[0].cpu_s) if advice.trials else 0
    lines += ["", *labelled("workload", words.printable(advice.workload, 80), 2, _LABELS)]
    lines += labelled("measured", f"{rounds:,} rounds, all settings in turn, medians", 2, _LABELS)
    lines += labelled("collector", words.printable(advice.collector), 2, _LABELS)
    return "\n".join(lines + _notes(advice.notes))


# -- pages


def _table(
    id_: str, caption: str, titles: tuple[tuple[str, bool], ...], rows: list[Any], total: int
) -> Table:
    return Table(
        id_,
        caption,
        tuple(Column(title, number=number) for title, number in titles),
        tuple(tuple(Cell(text) for text in row) for row in rows[:_MOST_ROWS]),
        total,
    )


def _with_notes(sections: list[Section], notes: tuple[str, ...]) -> tuple[Section, ...]:
    if notes:
        sections.append(Section("notes", "Notes and limits", (Texts("", notes),)))
    return tuple(sections)


def _stats_page(stats: GcStats) -> Page:
    facts = _stats_facts(stats)
    titles = (("Figure", False), ("Value", True), ("What it is", False))
    table = _table("figures", "Figures", titles, facts, len(facts))
    return Page(
        kind="collector",
        title="The collector",
        headline=_stats_headline(stats),
        lead="Pauses of the collector: the interpreter ran nothing else in them.",
        badge=None,
        figures=tuple(Figure(*fact) for fact in facts[:4]),
        next_steps=(),
        sections=_with_notes([Section("figures-section", "Figures", (table,))], stats.notes),
        brief=table,
        height=460,
    )


def _decisions_page(decisions: GcDecisions) -> Page:
    titles = (("At", True), ("Action", False), ("Thresholds before", False), ("After", False), ("Why", False))
    table = _table("decisions", "Decisions", titles, _decision_rows(decisions), len(decisions))
    return Page(
        kind="optimizer",
        title="What the optimizer decided",
        headline=_decisions_headline(decisions),
        lead="Each change of the collector's thresholds, with the figures that it rests on.",
        badge=None,
        figures=(Figure("Decisions", f"{len(decisions):,}"),),
        next_steps=(),
        sections=_with_notes([Section("decisions-section", "Decisions", (table,))], decisions.notes),
        brief=table,
        height=460,
    )


def _advice_page(advice: GcAdvice) -> Page:
    titles = tuple((title.capitalize(), number > 0) for number, title in enumerate(_TITLES))
    sorts = ("cpu_s", "pause_s", "p99_s", "max_s", "collections", "peak_bytes")
    rows = tuple(
        (Cell(row[0]), *(Cell(text, sort=trial.middle(c)) for text, c in zip(row[1:], sorts, strict=True)))
        for row, trial in zip(_trial_rows(advice), advice.trials, strict=True)
    )
    columns_ = tuple(Column(title, number=number) for title, number in titles)
    table = Table("trials", "Settings, medians of the rounds", columns_, rows, len(rows))
    facts: list[tuple[str, str]] = [
        ("workload", advice.workload),
        ("collector", advice.collector),
        ("what was to get better", advice.prefer),
        ("peak memory allowed", f"{advice.most_memory:g} times"),
        *words.environment_facts(advice.environment),
    ]
    blocks: tuple[Block, ...] = (table,)
    sections = [
        Section("trials-section", "What was tried", blocks),
        Section("run", "How it was measured", (Facts(tuple(facts)),)),
    ]
    return Page(
        kind="collector's setting",
        title="A setting for the collector",
        headline=_advice_headline(advice),
        lead="Each setting ran the workload in processes of its own, all settings in turn, round by round.",
        badge=Badge("helps", "good") if advice.helps else Badge("nothing to gain", "plain"),
        figures=(),
        next_steps=tuple(advice.code.splitlines()),
        sections=_with_notes(sections, advice.notes),
        brief=table,
        height=520,
    )


# -- rows


def _stats_rows(stats: GcStats) -> Any:
    return ("generation", "pause_s"), list(
        zip(stats.generation.tolist(), stats.pause_s.tolist(), strict=True)
    )


def _decisions_all(decisions: GcDecisions) -> Any:
    names = ("time_s", "action", "before", "after", "reason")
    return names, [tuple(getattr(decision, name) for name in names) for decision in decisions]


def _advice_all(advice: GcAdvice) -> Any:
    figures = ("cpu_s", "wall_s", "pause_s", "p99_s", "max_s", "collections", "peak_bytes")
    rows = [
        (
            trial.name,
            *(trial.middle(figure) for figure in figures),
            trial.name == advice.recommended,
            trial.code,
        )
        for trial in advice.trials
    ]
    return ("setting", *figures, "recommended", "code"), rows


# -- pictures


def _draw_stats(stats: GcStats, axes: Axes) -> None:
    if not len(stats.pause_s):
        raise UnavailableError("nothing to plot: the collector did not run")
    import numpy as np

    pauses = np.maximum(stats.pause_s, 1e-7)
    edges = np.geomspace(pauses.min() * 0.9, pauses.max() * 1.1, 30)
    colors = (LIGHT["muted"], LIGHT["accent"], LIGHT["grew"])
    parts = [(g, pauses[stats.generation == g]) for g in range(3)]
    shown = [(g, values) for g, values in parts if len(values)]
    axes.hist(
        [values for _, values in shown],
        bins=edges.tolist(),
        stacked=True,
        color=[colors[g] for g, _ in shown],
        label=[f"generation {g}" for g, _ in shown],
    )
    axes.set_xscale("log")
    plain_ticks(axes.xaxis)
    axes.set_xlabel("pause in seconds")
    axes.set_ylabel("collections")
    axes.legend(frameon=False)
    axes.set_title(_stats_headline(stats), parse_math=False)


def _draw_decisions(decisions: GcDecisions, axes: Axes) -> None:
    if not len(decisions):
        raise UnavailableError("nothing to plot: nothing was decided")
    times = [decision.time_s for decision in decisions]
    axes.step(times, [d.after[0] if d.after else 0 for d in decisions], where="post", color=LIGHT["accent"])
    axes.plot(times, [d.after[0] if d.after else 0 for d in decisions], "o", color=LIGHT["accent"], ms=4)
    axes.set_xlabel("seconds")
    axes.set_ylabel("first threshold")
    axes.set_ylim(bottom=0)
    axes.set_title(_decisions_headline(decisions), parse_math=False)


def _draw_advice(advice: GcAdvice, axes: Axes) -> None:
    """Draw processor time against the longest pause; the area of a dot is its peak memory."""
    if not advice.trials:
        raise UnavailableError("nothing to plot: nothing was tried")
    for trial in advice.trials:
        best = advice.helps and trial.name == advice.recommended
        x, y = trial.middle("cpu_s"), max(trial.middle("max_s"), 1e-6) * 1000
        size = 20 + trial.middle("peak_bytes") / _MIB
        color = (
            LIGHT["good"] if best else LIGHT["accent"] if trial is not advice.trials[0] else LIGHT["muted"]
        )
        axes.scatter([x], [y], s=min(size, 2000), color=color, alpha=0.75)
        axes.errorbar(
            [x], [y], xerr=[[x - trial.spread("cpu_s")[0]], [trial.spread("cpu_s")[1] - x]], color=color
        )
        axes.annotate(
            words.printable(trial.name, 40),
            (x, y),
            xytext=(6, 6),
            textcoords="offset points",
            fontsize="small",
            parse_math=False,
        )
        axes.plot([x], [y], color=color)
    axes.set_xlabel("processor time in seconds")
    axes.set_ylabel("longest pause in milliseconds")
    axes.set_yscale("log")
    plain_ticks(axes.yaxis)
    axes.margins(0.2)
    axes.set_title("Settings of the collector: areas are peak memory", parse_math=False)


RENDERERS: dict[type[Result], Callable[[Any], str]] = {
    GcStats: _stats_text,
    GcDecisions: _decisions_text,
    GcAdvice: _advice_text,
}
PAGES: dict[type[Result], Callable[[Any], Page]] = {
    GcStats: _stats_page,
    GcDecisions: _decisions_page,
    GcAdvice: _advice_page,
}
ROWS: dict[type[Result], Callable[[Any], Any]] = {
    GcStats: _stats_rows,
    GcDecisions: _decisions_all,
    GcAdvice: _advice_all,
}
DRAWERS: dict[type[Result], Callable[[Any, Axes], None]] = {
    GcStats: _draw_stats,
    GcDecisions: _draw_decisions,
    GcAdvice: _draw_advice,
}

"""Pressure runs and post-mortems as plain text. ``text.render_text`` takes its cases from ``RENDERERS``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memlab._base.units import format_bytes, format_seconds, format_signed_bytes
from memlab.records.pressure import PostMortem, PressureRun
from memlab.views import words
from memlab.views.heap_blocks import release_text
from memlab.views.layout import columns, labelled, wrap
from memlab.views.pressure_rows import DASH, duration, end_sentence, percent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from memlab.records.pressure import PressurePhase

__all__ = ["RENDERERS", "phase_table", "run_headline"]

_MOST_ROWS = 24
_LABELS = 18


def run_headline(run: PressureRun) -> str:
    """Say in one line how a run ended."""
    on = f" on {run.subject}" if run.subject else ""
    return f"{run.scenario}{on}: {run.outcome.value}"


def _run(run: PressureRun) -> str:
    lines = wrap(f"Pressure: {words.printable(run_headline(run))}", 0, 2)
    lines += [*wrap(words.printable(run.reason), 2), ""]
    lines += labelled("budget", f"{format_bytes(run.budget_bytes)} for the whole cage", 2, _LABELS)
    peak = "not known: it was never read"
    if run.peak_rss_bytes is not None:
        peak = f"{format_bytes(run.peak_rss_bytes)} resident ({words.printable(run.peak_source, 40)})"
    lines += labelled("peak", peak, 2, _LABELS)
    lines += labelled("at the end", words.printable(end_sentence(run)), 2, _LABELS)
    if run.subject:
        back = (
            f"{format_seconds(run.recovery_s)} after the release"
            if run.recovery_s is not None
            else f"not known: {words.printable(run.absent.get('recovery_s', 'it was not measured'))}"
        )
        lines += labelled("recovered", back, 2, _LABELS)
    lines += labelled("took", format_seconds(run.elapsed_s), 2, _LABELS)
    lines += _phase_lines(run)
    lines += _counts("Exceptions of the subject", run.failures)
    lines += _counts("What became of the failed allocations", run.failure_points)
    return "\n".join(lines + _bullets("Notes", run.notes))


def _phase_lines(run: PressureRun) -> list[str]:
    titles, *rows = phase_table(run, _MOST_ROWS) or [[]]
    if not rows:
        return []
    more = f" ({len(rows)} of {len(run.phases)})" if len(rows) < len(run.phases) else ""
    return ["", f"Phases{more}", *columns(titles, rows, [False] + [True] * (len(titles) - 1))]


def phase_table(run: PressureRun, most: int = 200) -> list[list[str]]:
    """Return the phases as rows of text, titles first; nothing when there are none.

    Columns that say nothing of any phase are left out.
    """
    shown = run.phases[:most]
    if not shown:
        return []
    figures: dict[str, Callable[[PressurePhase], str]] = {
        "phase": lambda p: words.printable(p.name, 60),
        "lasted": lambda p: duration(p.end_s - p.start_s),
        "ballast": lambda p: format_bytes(p.ballast_bytes),
        "peak RSS": lambda p: format_bytes(p.peak_rss_bytes) if p.peak_rss_bytes is not None else DASH,
    }
    if run.subject:
        figures |= {
            "calls": lambda p: f"{p.calls:,}",
            "p50": lambda p: duration(p.latency_p50_s),
            "p99": lambda p: duration(p.latency_p99_s),
        }
    if any(p.failures for p in shown):
        figures["failed"] = lambda p: f"{p.failures:,}"
    if any(p.hit_rate is not None for p in shown):
        figures["hit rate"] = percent
        figures["evicted"] = lambda p: f"{p.evictions:,}" if p.evictions is not None else DASH
    return [list(figures), *([figure(p) for figure in figures.values()] for p in shown)]


def _post_mortem(found: PostMortem) -> str:
    lines = wrap(f"Post-mortem: {words.printable(found.reason)}", 0, 2)
    if found.peak_rss_bytes is not None:
        lines += wrap(f"Greatest resident memory that was read: {format_bytes(found.peak_rss_bytes)}.", 2)
    rows = [
        (
            words.printable(", ".join(h.names) or DASH, 60),
            words.printable(words.type_text(h.type_name), 40),
            format_bytes(h.retained_bytes),
            f"{h.objects:,}",
            words.printable(release_text(h), 60) if h.kind != "accumulation point" else DASH,
        )
        for h in found.holdings[:_MOST_ROWS]
    ]
    if rows:
        lines += ["", "What retains most now"]
        lines += columns(
            ("held by", "type", "retained", "objects", "freed by"), rows, (False, False, True, True, False)
        )
    rows_of_growth = [
        (
            words.printable(words.type_text(t.type_name)),
            format_signed_bytes(t.bytes_diff),
            f"{t.objects_diff:+,}",
        )
        for t in found.growth[:_MOST_ROWS]
    ]
    if rows_of_growth:
        lines += ["", "What grew since the guard was switched on (shallow sizes)"]
        lines += columns(("type", "bytes", "objects"), rows_of_growth, (False, True, True))
    lines += _bullets("Not known", [f"{name}: {reason}" for name, reason in found.absent.items()])
    return "\n".join(lines + _bullets("Notes", found.notes))


def _counts(title: str, counts: Mapping[str, int]) -> list[str]:
    rows = [(words.printable(name, 80), f"{count:,}") for name, count in list(counts.items())[:_MOST_ROWS]]
    return ["", title, *columns(("what", "times"), rows, (False, True))] if rows else []


def _bullets(title: str, items: Iterable[str]) -> list[str]:
    lines = [line for item in items for line in wrap(f"- {words.printable(item)}", 2, 4)]
    return ["", title, *lines] if lines else []


RENDERERS: Mapping[type, Callable[[Any], str]] = {PressureRun: _run, PostMortem: _post_mortem}

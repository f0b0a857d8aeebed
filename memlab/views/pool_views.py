"""Pools and caches as text, rows and pages; ``pool_plots`` draws them.

The dictionaries at the end are what ``text``, ``tables`` and ``html`` take their cases from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memlab._base.units import format_bytes, format_seconds
from memlab.records.cache import CacheStats, HitCurve
from memlab.records.pool import PoolStats, PoolWorth
from memlab.views import words
from memlab.views.charts import curve_chart
from memlab.views.layout import columns, labelled, wrap
from memlab.views.page import Badge, Cell, Charts, Column, Figure, Page, Section, Table, Texts
from memlab.views.time_charts import timeline_chart

if TYPE_CHECKING:
    from collections.abc import Callable

    from memlab.records._result import Result
    from memlab.views.page import Block

__all__ = ["PAGES", "RENDERERS", "ROWS"]

Facts = list[tuple[str, str, str]]
_MOST_ROWS = 12
_LABELS = 16


def share(value: float | None) -> str:
    """Write a share in per cent.

    >>> share(0.9123), share(None)
    ('91.2 %', 'not known')
    """
    return "not known" if value is None else f"{value * 100:.1f} %"


# -- what is said


def _pool_headline(stats: PoolStats) -> str:
    if stats.hit_rate is None:
        return f"{stats.size:,} objects, {stats.in_use:,} of them out"
    return f"{share(stats.hit_rate)} of {stats.acquired:,} acquisitions found an object ready"


def _pool_facts(stats: PoolStats) -> Facts:
    def count(value: int | None, name: str) -> str:
        return f"{value:,}" if value is not None else f"not known: {stats.absent.get(name, 'not counted')}"

    return [
        ("objects made", f"{stats.objects_created:,}", "by the factory, those of the start included"),
        ("acquired", count(stats.acquired, "acquired"), "times an object was taken"),
        ("released", count(stats.released, "released"), "times one came back"),
        ("hits", count(stats.hits, "hits"), "an object was ready"),
        ("misses", f"{stats.misses:,}", "one had to be made"),
        ("idle", f"{stats.idle:,}", "ready now"),
        ("in use", f"{stats.in_use:,}", "out now"),
        ("size", f"{stats.size:,}", f"alive now; kept are {stats.min_size:,} to {stats.max_size:,}"),
        ("high-water mark", f"{stats.high_water_mark:,}", "most objects alive at one time"),
        ("overflowed", f"{stats.overflowed:,}", "more were asked for than are kept"),
        ("expired", f"{stats.expired:,}", "lay idle for too long"),
        ("closed", f"{stats.closed:,}", "let go, the expired ones included"),
        ("failed", f"{stats.failed:,}", "calls of reset() or close() that raised"),
    ]


def _pool_notes(stats: PoolStats) -> tuple[str, ...]:
    return (*stats.notes, *(f"{name} is not known: {why}" for name, why in stats.absent.items()))


def _cache_headline(stats: CacheStats) -> str:
    if stats.hit_rate is None:
        return f"{stats.size:,} entries, none looked up yet"
    return f"{share(stats.hit_rate)} of {stats.hits + stats.misses:,} look-ups hit"


def _cache_facts(stats: CacheStats) -> Facts:
    bound = f"of at most {stats.max_size:,}" if stats.max_size is not None else "no bound"
    facts = [
        ("hits", f"{stats.hits:,}", "look-ups that found an entry"),
        ("misses", f"{stats.misses:,}", "look-ups that did not"),
        ("entries", f"{stats.size:,}", bound),
        ("evictions", f"{stats.evictions:,}", "went for want of room"),
        ("expirations", f"{stats.expirations:,}", "their lifetime had ended"),
        ("callbacks", f"{stats.failed_callbacks:,}", "calls of on_evict that raised"),
    ]
    if stats.memory_bytes is not None and stats.limit_bytes is not None:
        full = stats.full_limit_bytes or stats.limit_bytes
        lowered = "" if full == stats.limit_bytes else f", lowered from {format_bytes(full)} for pressure"
        facts += [
            (
                "memory",
                format_bytes(stats.memory_bytes),
                "keys, values and entries, by the cache's own count",
            ),
            ("limit", format_bytes(stats.limit_bytes), f"in force now{lowered}"),
            ("refused", f"{stats.refused:,}", "values larger than the whole cache may be"),
            ("estimated", f"{stats.estimated:,}", "values with more objects than were looked at"),
            ("pressure", f"{stats.shrinks:,} / {stats.grows:,}", "times the limit was lowered / raised"),
        ]
    return facts


def _worth_facts(worth: PoolWorth) -> Facts:
    low, high = worth.spread
    return [
        ("making anew", format_seconds(_median(worth.new_s)), "median of the rounds, closing included"),
        ("from a pool", format_seconds(_median(worth.pooled_s)), "taking and giving back, reset included"),
        ("reset alone", format_seconds(_median(worth.reset_s)), "the object's own"),
        ("speed-up", f"{worth.speedup:.2f}", f"half of the rounds lie between {low:.2f} and {high:.2f}"),
        (
            "measured",
            f"{len(worth.new_s):,} rounds",
            f"of {worth.calls:,} calls, both ways in turn, CPU time",
        ),
    ]


def _curve_headline(curve: HitCurve) -> str:
    now = curve.at(curve.current) if curve.current is not None else None
    best = f"at most {share(curve.best)} of {curve.accesses:,} look-ups can hit"
    enough = curve.enough
    reach = f"; {enough:,} entries come within a hundredth of that" if enough is not None else ""
    here = f"; {curve.current:,} entries give {share(now)}" if now is not None else ""
    return f"{best}{reach}{here}"


def _curve_rows(curve: HitCurve) -> list[tuple[int, float]]:
    """Return the points that a short table shows: evenly chosen, the current size among them."""
    every = list(zip(curve.sizes.tolist(), curve.hit_rate.tolist(), strict=True))
    step = max(1, -(-len(every) // _MOST_ROWS))
    return [
        point
        for at, point in enumerate(every)
        if at % step == 0 or at == len(every) - 1 or point[0] == curve.current
    ]


# -- text


def _text(headline: str, facts: Facts, notes: tuple[str, ...]) -> str:
    lines = [*wrap(words.printable(headline), 0, 2), ""]
    for name, figure, meaning in facts:
        lines += labelled(name, words.printable(f"{figure}  ({meaning})"), 2, _LABELS + 2)
    return "\n".join(lines + _bullets(notes))


def _bullets(notes: tuple[str, ...]) -> list[str]:
    lines = [line for note in notes for line in wrap(f"- {words.printable(note)}", 2, 4)]
    return ["", "Notes", *lines] if lines else []


def _pool_text(stats: PoolStats) -> str:
    return _text(f"Pool: {_pool_headline(stats)}", _pool_facts(stats), _pool_notes(stats))


def _worth_text(worth: PoolWorth) -> str:
    return _text(words.sentence(worth.verdict), _worth_facts(worth), worth.notes)


def _cache_text(stats: CacheStats) -> str:
    return _text(f"{stats.cache}: {_cache_headline(stats)}", _cache_facts(stats), stats.notes)


def _curve_text(curve: HitCurve) -> str:
    lines = wrap(words.printable(f"What if: {_curve_headline(curve)}"), 0, 2)
    rows = [
        (f"{size:,}{'  (now)' if size == curve.current else ''}", share(rate))
        for size, rate in _curve_rows(curve)
    ]
    lines += ["", *columns(("entries", "hit rate"), rows, (False, True))]
    return "\n".join([*lines, *_bullets(curve.notes)])


# -- pages


def _page(kind: str, headline: str, lead: str, facts: Facts, notes: tuple[str, ...], **more: Any) -> Page:
    table = Table(
        "figures",
        "Figures",
        (Column("Figure"), Column("Value", number=True), Column("What it counts")),
        tuple((Cell(name), Cell(figure), Cell(meaning)) for name, figure, meaning in facts),
        len(facts),
    )
    blocks: tuple[Block, ...] = (*more.get("blocks", ()), table)
    sections = [Section("figures-section", "Figures", blocks)]
    if notes:
        sections.append(Section("notes", "Notes and limits", (Texts("", notes),)))
    return Page(
        kind=kind,
        title=more.get("title", kind.capitalize()),
        headline=headline,
        lead=lead,
        badge=more.get("badge"),
        figures=tuple(Figure(name, figure, meaning) for name, figure, meaning in facts[:4]),
        next_steps=(),
        sections=tuple(sections),
        brief=table,
        height=620 if more.get("blocks") else 460,
    )


def _pool_page(stats: PoolStats) -> Page:
    drawn = (timeline_chart(stats.timeline, "pool_objects", 0),) if len(stats.sizes) else ()
    charts = Charts(drawn, "Every change of the pool's size.", wide=True)
    return _page(
        "object pool",
        words.sentence(_pool_headline(stats)),
        f"{stats.size:,} objects are alive, {stats.in_use:,} of them out.",
        _pool_facts(stats),
        _pool_notes(stats),
        blocks=(charts,) if len(stats.sizes) else (),
    )


def _worth_page(worth: PoolWorth) -> Page:
    badge = Badge("pays", "good") if worth.pays else Badge("does not pay", "warn")
    return _page(
        "pooling",
        words.sentence(worth.verdict),
        "Making objects anew and taking them from a pool ran in turn.",
        _worth_facts(worth),
        worth.notes,
        title="Does pooling pay?",
        badge=badge,
    )


def _cache_page(stats: CacheStats) -> Page:
    return _page(
        "cache",
        words.sentence(_cache_headline(stats)),
        f"Figures of one moment of a {stats.cache}.",
        _cache_facts(stats),
        stats.notes,
    )


def _curve_page(curve: HitCurve) -> Page:
    facts = [
        ("look-ups", f"{curve.accesses:,}", "in the sequence"),
        ("different keys", f"{curve.distinct:,}", "counted" if curve.sampled == 1.0 else "estimated"),
        ("best", share(curve.best), "hit rate without any bound"),
        ("enough", f"{curve.enough or 0:,}", "entries that come within a hundredth of the best"),
    ]
    facts += [(f"{size:,} entries", share(rate), "hit rate") for size, rate in _curve_rows(curve)]
    legend = "The dot marks the size that the keys were recorded at."
    drawn = (curve_chart(curve, 0),) if len(curve.sizes) else ()
    charts = Charts(drawn, legend if curve.current is not None else "", wide=True)
    return _page(
        "hit rate by size",
        words.sentence(_curve_headline(curve)),
        "What an LRU cache of each size would have hit, from the reuse distances of one sequence of keys.",
        facts,
        curve.notes,
        title="What if the cache had another size?",
        blocks=(charts,) if len(curve.sizes) else (),
    )


def _median(values: Any) -> float:
    ordered = sorted(values.tolist())
    return float(ordered[len(ordered) // 2])


# -- rows


def _fact_rows(facts: Callable[[Any], dict[str, Any]]) -> Callable[[Any], Any]:
    def rows(result: Any) -> Any:
        return ("figure", "value"), list(facts(result).items())

    return rows


def _pool_values(stats: PoolStats) -> dict[str, Any]:
    names = (
        "objects_created acquired released hits misses hit_rate idle in_use size high_water_mark expired"
        " overflowed closed failed min_size max_size"
    )
    return {name: getattr(stats, name) for name in names.split()}


def _cache_values(stats: CacheStats) -> dict[str, Any]:
    names = (
        "hits misses hit_rate evictions expirations size max_size failed_callbacks refused memory_bytes"
        " limit_bytes full_limit_bytes estimated shrinks grows"
    )
    return {name: getattr(stats, name) for name in names.split()}


def _worth_rows(worth: PoolWorth) -> Any:
    series = (worth.new_s.tolist(), worth.pooled_s.tolist(), worth.reset_s.tolist())
    return ("round", "new_s", "pooled_s", "reset_s"), [
        (number, *row) for number, row in enumerate(zip(*series, strict=True), 1)
    ]


def _curve_all(curve: HitCurve) -> Any:
    return ("size", "hit_rate"), list(zip(curve.sizes.tolist(), curve.hit_rate.tolist(), strict=True))


RENDERERS: dict[type[Result], Callable[[Any], str]] = {
    PoolStats: _pool_text,
    PoolWorth: _worth_text,
    CacheStats: _cache_text,
    HitCurve: _curve_text,
}
PAGES: dict[type[Result], Callable[[Any], Page]] = {
    PoolStats: _pool_page,
    PoolWorth: _worth_page,
    CacheStats: _cache_page,
    HitCurve: _curve_page,
}
ROWS: dict[type[Result], Callable[[Any], Any]] = {
    PoolStats: _fact_rows(_pool_values),
    PoolWorth: _worth_rows,
    CacheStats: _fact_rows(_cache_values),
    HitCurve: _curve_all,
}

"""Pools and caches as pictures, one axes each; ``plots`` takes its cases from ``DRAWERS``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memlab.records.cache import CacheStats, HitCurve
from memlab.records.pool import PoolStats, PoolWorth
from memlab.views import words
from memlab.views.palette import LIGHT

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

    from memlab.records._result import Result

__all__ = ["DRAWERS", "plain_ticks"]

_PERCENT = 100


def plain_ticks(axis: Any) -> None:
    """Write the powers of a logarithmic axis as numbers; formulas would open fonts of their own."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())


def _title(axes: Axes, text: str) -> None:
    axes.set_title(words.printable(text, 120), parse_math=False)


def _pool(stats: PoolStats, axes: Axes) -> None:
    axes.step(stats.time_s, stats.sizes, where="post", color=LIGHT["accent"], lw=1.5)
    axes.axhline(stats.max_size, color=LIGHT["muted"], lw=1, ls="--", label="most that are kept")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("seconds")
    axes.set_ylabel("objects")
    axes.legend(frameon=False)
    _title(axes, f"Objects of the pool: {stats.size:,} now, {stats.high_water_mark:,} at most")


def _worth(worth: PoolWorth, axes: Axes) -> None:
    rounds = range(1, len(worth.new_s) + 1)
    axes.plot(rounds, worth.new_s * 1e9, color=LIGHT["muted"], marker=".", label="making anew")
    axes.plot(rounds, worth.pooled_s * 1e9, color=LIGHT["accent"], marker=".", label="from a pool")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("round")
    axes.set_ylabel("nanoseconds each")
    axes.legend(frameon=False)
    _title(axes, words.sentence(worth.verdict))


def _cache(stats: CacheStats, axes: Axes) -> None:
    names = ("hits", "misses", "evictions", "expirations")
    counts = [stats.hits, stats.misses, stats.evictions, stats.expirations]
    colors = [LIGHT["accent"], LIGHT["muted"], LIGHT["muted"], LIGHT["muted"]]
    axes.barh(range(len(names)), counts, color=colors, height=0.7)
    axes.set_yticks(range(len(names)), list(names))
    axes.invert_yaxis()
    rate = stats.hit_rate
    _title(axes, f"{stats.cache}: hit rate {f'{rate * _PERCENT:.1f} %' if rate is not None else 'not known'}")


def _curve(curve: HitCurve, axes: Axes) -> None:
    axes.step(curve.sizes, curve.hit_rate * _PERCENT, where="post", color=LIGHT["accent"], lw=1.5)
    axes.set_xscale("log")
    plain_ticks(axes.xaxis)
    axes.set_ylim(0, _PERCENT)
    axes.set_xlabel("entries")
    axes.set_ylabel("hit rate, per cent")
    now = curve.at(curve.current) if curve.current is not None else None
    if curve.current is not None and now is not None:
        axes.plot([curve.current], [now * _PERCENT], color=LIGHT["grew"], marker="o", label="this cache")
        axes.legend(frameon=False)
    _title(axes, f"Hit rate by size, {curve.accesses:,} look-ups")


DRAWERS: dict[type[Result], Callable[[Any, Axes], None]] = {
    PoolStats: _pool,
    PoolWorth: _worth,
    CacheStats: _cache,
    HitCurve: _curve,
}

"""Benchmarks, regressions and trends as pictures, one axes each; ``plots`` takes them from ``DRAWERS``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from memlab.errors import MissingExtraError, UnavailableError, UsageError
from memlab.records.benchmark import BenchmarkTable, RegressionReport, RegressionVerdict, RunHistory
from memlab.views import bench_words as say
from memlab.views import words
from memlab.views.palette import LIGHT

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

    from memlab.records._result import Result
    from memlab.records.benchmark import MetricHistory

__all__ = ["DRAWERS", "draw_trend"]

_MOST = 16


def draw_trend(history: RunHistory, metric: str, ax: Any = None) -> Any:
    """Draw one metric over the runs, medians with their quartiles and change points, and return the axes.

    Args:
        history: the runs.
        metric: its name.
        ax: where to draw; None makes a new figure.

    Raises:
        UsageError: when no run has that metric.
        MissingExtraError: when matplotlib is not installed.
    """
    try:
        found = history.metric(metric)
    except KeyError:
        known = ", ".join(m.name for m in history.metrics[:5]) or "none"
        raise UsageError(f"drawing a trend: no run has {metric!r}; there are {known}") from None
    if ax is None:
        try:
            from matplotlib import pyplot as plt
        except ImportError:
            raise MissingExtraError.needs("a plot", "matplotlib", "notebook") from None
        ax = plt.subplots(figsize=(8, 3.6), layout="constrained")[1]
    _trend(found, history, ax)
    return ax


def _trend(metric: MetricHistory, history: RunHistory, axes: Axes) -> None:
    scale, unit = _scale(metric.value, metric.unit)
    axes.fill_between(
        metric.run, metric.low * scale, metric.high * scale, color=LIGHT["accent"], alpha=0.2, lw=0
    )
    axes.plot(metric.run, metric.value * scale, color=LIGHT["accent"], marker=".", lw=1.2)
    for change in history.changes:
        if change.metric == metric.name:
            color = LIGHT["grew"] if change.degradation > 0 else LIGHT["good"]
            axes.axvline(change.run, color=color, lw=1.2, ls="--")
            axes.annotate(
                say.percent(change.degradation),
                (change.run, 0.98),
                xycoords=("data", "axes fraction"),
                xytext=(4, 0),
                textcoords="offset points",
                va="top",
                color=color,
                fontsize="small",
            )
    axes.set_xlabel("run")
    axes.set_ylabel(unit, parse_math=False)
    axes.set_title(words.printable(metric.name, 120), parse_math=False)


def _history(history: RunHistory, axes: Axes) -> None:
    """Draw what changed last, or else the first metric."""
    if not history.metrics:
        raise UnavailableError("nothing to plot: no run has a metric")
    name = history.changes[0].metric if history.changes else history.metrics[0].name
    _trend(history.metric(name), history, axes)


def _table(table: BenchmarkTable, axes: Axes) -> None:
    """Draw each figure as a part of its limit, or the spread of each benchmark's samples."""
    held = [r for r in table if r.threshold and r.value]
    if held:
        ratios = [
            r.value / r.threshold if r.better == "higher" else r.threshold / r.value
            for r in held
            if r.value is not None and r.threshold is not None
        ]
        colors = [LIGHT["good"] if r.passed else LIGHT["grew"] for r in held]
        _bars(axes, [r.name for r in held], ratios, colors)
        axes.axvline(1, color=LIGHT["muted"], lw=1.2, ls="--")
        axes.set_xscale("log")
        axes.set_xlabel("times as good as the limit")
    else:
        shown = [r for r in table if r.spread is not None and r.value][:_MOST]
        if not shown:
            raise UnavailableError("nothing to plot: no figure has a spread")
        for at, result in enumerate(shown, 1):
            assert result.value is not None
            assert result.spread is not None
            low, high = (edge / result.value for edge in result.spread)
            axes.plot([low, high], [at, at], color=LIGHT["accent"], lw=4, solid_capstyle="butt")
            samples = np.array(result.samples) / result.value
            axes.plot(samples, np.full(len(samples), at), color=LIGHT["muted"], marker="|", ls="", ms=8)
            axes.plot([1], [at], color=LIGHT["accent"], marker="o", mfc="white", ls="")
        axes.set_yticks(
            range(1, len(shown) + 1), [_short(r.name) for r in shown], fontsize="small", parse_math=False
        )
        axes.invert_yaxis()
        axes.set_xlabel("samples, as parts of the median")
    axes.set_title(words.printable(say.table_headline(table), 120), parse_math=False)


def _report(report: RegressionReport, axes: Axes) -> None:
    shown = [c for c in report.changes if c.degradation is not None][:_MOST]
    if not shown:
        raise UnavailableError("nothing to plot: no metric was compared")
    colors = {RegressionVerdict.REGRESSION: LIGHT["grew"], RegressionVerdict.IMPROVED: LIGHT["good"]}
    for at, change in enumerate(shown):
        assert change.degradation is not None
        middle = change.degradation * 100
        low = (change.low if change.low is not None else change.degradation) * 100
        high = (change.high if change.high is not None else change.degradation) * 100
        color = colors.get(change.verdict, LIGHT["muted"])
        axes.plot([low, high], [at, at], color=color, lw=2)
        axes.plot([middle], [at], color=color, marker="o", ls="")
    axes.axvline(0, color=LIGHT["muted"], lw=1)
    axes.set_yticks(range(len(shown)), [_short(c.metric) for c in shown], fontsize="small", parse_math=False)
    axes.invert_yaxis()
    axes.set_xlabel("worse by per cent, with its interval at 95 %")
    axes.set_title(words.printable(say.regression_headline(report), 120), parse_math=False)


def _bars(axes: Axes, names: list[str], values: list[float], colors: list[str]) -> None:
    places = list(range(len(names)))
    axes.barh(places, values, color=colors, height=0.7)
    axes.set_yticks(places, [_short(name) for name in names], fontsize="small", parse_math=False)
    axes.invert_yaxis()


def _short(name: str) -> str:
    shown = words.printable(name)
    return shown if len(shown) <= 40 else "…" + shown[-39:]  # noqa: PLR2004 - the room there is


def _scale(values: Any, unit: str) -> tuple[float, str]:
    """Return a factor and the unit that it leads to, so that an axis has numbers of a few digits."""
    top = float(np.nanmax(np.abs(values))) if len(values) else 0.0
    steps: tuple[tuple[float, float, str], ...] = ()
    if unit == "bytes":
        steps = ((2**30, 2.0**-30, "GiB"), (2**20, 2.0**-20, "MiB"), (2**10, 2.0**-10, "KiB"))
    elif unit == "seconds":
        steps = ((1, 1.0, "seconds"), (1e-3, 1e3, "milliseconds"), (0, 1e6, "microseconds"))
    for least, factor, name in steps:
        if top >= least:
            return factor, name
    return 1.0, words.printable(unit, 30)


DRAWERS: dict[type[Result], Callable[[Any, Axes], None]] = {
    BenchmarkTable: _table,
    RegressionReport: _report,
    RunHistory: _history,
}

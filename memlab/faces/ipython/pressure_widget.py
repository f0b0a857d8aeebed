"""A widget that drives a scenario of memory pressure and shows it while it runs.

The run is a cage as ever (``lab/pressure.py``), started from a thread; four times a second the widget's
synced state gets the picture so far, and its script draws from that state alone. A click is handled when the
kernel is free: not while a plain cell runs. Beside the widget every output keeps the table of the last run,
which is what an untrusted or an exported notebook shows.
"""

from __future__ import annotations

import itertools
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from memlab._base.units import format_bytes
from memlab.errors import MemlabError, MissingExtraError
from memlab.faces.ipython.heap_widget import widget_colors
from memlab.faces.ipython.own_layout import OwnLayout
from memlab.lab.pressure import MemoryPressureSimulator
from memlab.lab.scenarios import PressureScenario
from memlab.views.html import pressure_assets, render_summary
from memlab.views.pressure_text import phase_table, run_headline
from memlab.views.text import render_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anywidget import AnyWidget

    from memlab.lab._cage import Told
    from memlab.records.pressure import PressureRun

__all__ = ["pressure_widget"]

SCENARIOS = (
    ("ramp", "gradual ramp"),
    ("spike", "spike and recovery"),
    ("sawtooth", "sawtooth"),
    ("oom", "approach to out-of-memory"),
)
UPDATE_S = 0.25
MOST_POINTS = 300


def pressure_widget(
    scenario: str = "spike",
    budget: str = "128 MiB",
    seconds: float | None = None,
    **subject: Any,
) -> AnyWidget:
    """Return a widget with which to choose a scenario and a budget, run it, stop it, and watch.

    Its ``run`` is the last ``PressureRun``, None before the first.

    Args:
        scenario: which is chosen at first: ``ramp``, ``spike``, ``sawtooth`` or ``oom``.
        budget: what the cage may take, as text.
        seconds: how long a scenario lasts; None for its own length.
        subject: ``subject=``, ``cache=``, ``pool=``, ``keys=`` … as for ``MemoryPressureSimulator.run``.

    Raises:
        MissingExtraError: when anywidget is not installed.
        UsageError: when there is no such scenario.
    """
    try:
        import anywidget
        import traitlets
    except ImportError:
        raise MissingExtraError.needs("a pressure widget", "anywidget", "notebook") from None

    PressureScenario.named(scenario)
    script, style = pressure_assets()

    class PressureWidget(OwnLayout, anywidget.AnyWidget):
        """Controls, a picture and a table, drawn from the synced state alone."""

        _esm = script
        _css = f"{widget_colors('.memlab-pressure')}\n.memlab-pressure {{\n{style}\n}}"
        scenarios: Any = traitlets.List().tag(sync=True)
        scenario = traitlets.Unicode().tag(sync=True)
        budget = traitlets.Unicode().tag(sync=True)
        subject = traitlets.Unicode().tag(sync=True)
        request = traitlets.Dict().tag(sync=True)
        running = traitlets.Bool(default_value=False).tag(sync=True)
        status = traitlets.Unicode().tag(sync=True)
        picture = traitlets.Dict().tag(sync=True)
        table: Any = traitlets.List().tag(sync=True)
        run: PressureRun | None = None

        def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
            bundle, metadata = super()._repr_mimebundle_(**options) or ({}, {})
            return {**bundle, **_still(self.run)}, metadata

        def close(self) -> None:
            """End what runs, and take the widget away."""
            driver.stop()
            super().close()

    widget = PressureWidget(
        scenarios=[list(pair) for pair in SCENARIOS],
        scenario=scenario,
        budget=budget,
        subject=", ".join(f"{kind} {value}" for kind, value in subject.items() if isinstance(value, str)),
        request={"number": 0},
        status="Ready. A click is handled when no cell is running.",
        picture={},
        table=[],
    )
    driver = _Driver(widget, seconds, subject)
    widget.observe(driver.asked, names="request")
    return widget


class _Driver:
    """Runs what the widget asks for, one run at a time, in a thread of its own."""

    def __init__(self, widget: Any, seconds: float | None, subject: Mapping[str, Any]) -> None:
        self._widget = widget
        self._seconds = seconds
        self._subject = dict(subject)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._rows: list[tuple[float, int, int, int]] = []
        self._last = 0.0

    def asked(self, change: Mapping[str, Any]) -> None:
        """Do what was clicked."""
        request = change["new"]
        if request.get("action") == "stop":
            self._stopping.set()
            return
        if request.get("action") != "run" or self._widget.running:
            return
        name, budget = str(request.get("scenario", "")), str(request.get("budget", ""))
        self._stopping.clear()
        self._thread = threading.Thread(
            target=self._run, args=(name, budget), name="memlab-pressure-widget", daemon=True
        )
        widget = self._widget
        widget.running = True
        widget.scenario, widget.budget, widget.status = name, budget, "Starting a cage …"
        self._thread.start()

    def stop(self) -> None:
        """End the run that is under way, and wait for its end."""
        self._stopping.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(5.0)

    def _run(self, name: str, budget: str) -> None:
        widget = self._widget
        self._rows = []
        try:
            scenario = PressureScenario.named(name)
            if self._seconds is not None:
                scenario = scenario.lasting(self._seconds)
            with MemoryPressureSimulator(budget) as simulator:
                self._scenario, self._budget = scenario, simulator.budget_bytes or 0
                run = simulator.run(scenario, on_sample=self._sample, **self._subject)
        except MemlabError as error:
            widget.status = str(error)
        else:
            widget.run = run
            widget.picture = _picture(run)
            widget.table = phase_table(run)
            widget.status = f"{run_headline(run)}. {run.reason}"
        finally:
            widget.running = False

    def _sample(self, now: float, rss: int, told: Told) -> bool:
        self._rows.append((now, rss, told.ballast, told.phase))
        moment = time.monotonic()
        if moment - self._last >= UPDATE_S:
            self._last = moment
            self._widget.picture = {
                "budget": self._budget,
                "seconds": self._scenario.seconds,
                "t": [round(row[0], 3) for row in self._rows],
                "rss": [row[1] for row in self._rows],
                "ballast": [row[2] for row in self._rows],
                "phases": [],
            }
            phase = self._scenario.stages[min(told.phase, len(self._scenario.stages) - 1)].name
            self._widget.status = (
                f"{now:.1f} s, {phase}: {format_bytes(rss)} resident, {format_bytes(told.ballast)} ballast"
            )
        return not self._stopping.is_set()


def _picture(run: PressureRun) -> dict[str, Any]:
    """Return the picture of a finished run: at most so many points, of each stretch the greatest."""
    times, metrics = run.timeline.time_s, run.timeline.metrics
    if not len(times) or "rss_bytes" not in metrics:
        return {}
    rss, ballast = metrics["rss_bytes"], metrics["ballast_bytes"]
    edges = np.unique(np.linspace(0, len(times), MOST_POINTS + 1).astype(int))
    kept = [int(a + rss[a:b].argmax()) for a, b in itertools.pairwise(edges.tolist())]
    return {
        "budget": run.budget_bytes,
        "seconds": float(times[-1]),
        "t": [round(float(t), 3) for t in times[kept]],
        "rss": rss[kept].tolist(),
        "ballast": ballast[kept].tolist(),
        "phases": [[phase.start_s, phase.name] for phase in run.phases],
    }


def _still(run: PressureRun | None) -> dict[str, str]:
    """Return what a notebook shows of the last run where it has no widgets."""
    if run is None:
        text = "A driver of memory pressure; it has not run yet."
        return {"text/plain": text}
    return {"text/plain": render_text(run), "text/html": render_summary(run)}

"""``%pressure``: a scenario in a cage from a notebook, as a result or as a widget that drives it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.magic import no_var_expand
from IPython.display import display

from memlab.errors import UsageError
from memlab.faces.hunt_options import Option
from memlab.faces.ipython.one_line import OneLine
from memlab.faces.ipython.options import parse
from memlab.faces.ipython.showing import Showing
from memlab.faces.outputs import Outputs

if TYPE_CHECKING:
    from memlab.records.pressure import PressureRun

__all__ = ["PressureMagic"]

PRESSURE_OPTIONS = (
    Option("budget", "b", str, "SIZE", "", "what the whole cage may take (default 256MiB)"),
    Option("seconds", "t", float, "S", "", "how long the scenario lasts"),
    Option("subject", "", str, "TARGET", "", "a step, called again and again"),
    Option("cache", "", str, "TARGET", "", "makes a cache"),
    Option("pool", "", str, "TARGET", "", "makes a pool"),
    Option("keys", "", str, "TARGET", "", "returns the keys for the cache"),
    Option("widget", "w", None, "", "", "show the controls, and run on a click"),
    Option("save", "", str, "FILE", "", "write the result as a capture"),
    Option("report", "", str, "OUT.html", "", "write the result as one HTML page"),
    Option("return", "o", None, "", "", "return the result as well"),
    Option("quiet", "q", None, "", "", "show nothing"),
)
_TARGETS = ("subject", "cache", "pool", "keys")


class PressureMagic:
    """Mixed into the magics of one shell."""

    shell: Any

    @no_var_expand
    def pressure(self, line: str) -> PressureRun | None:
        """Run a scenario of memory pressure in a cage of its own, never in this kernel.

        Usage::

          %pressure [options] ramp
          %pressure [options] spike
          %pressure [options] sawtooth
          %pressure [options] oom
          %pressure --widget [options] [scenario]

        Options:

        -b SIZE, --budget SIZE
          What the whole cage may take. Default: 256MiB; 128MiB for the widget.
        -t S, --seconds S
          How long the scenario lasts.
        --subject TARGET, --cache TARGET, --pool TARGET
          What is put under pressure, as module:function: a step, or what makes a cache or a pool.
        --keys TARGET
          Returns the keys for the cache, an iterable without end.
        -w, --widget
          Show controls and a picture that grows. A click is handled when no cell is running.
        --save FILE, --report OUT.html
          Write the result as a capture, or as one HTML page that opens offline.
        -o
          Return the PressureRun as well.
        -q
          Show nothing.

        Example::

          In [1]: %pressure --cache mine:make_cache --budget 128MiB spike
        """
        __tracebackhide__ = True
        with OneLine():
            options, rest = parse("pressure", line, PRESSURE_OPTIONS)
            targets = {name: options[name] for name in _TARGETS if name in options}
            if options.get("widget"):
                self._show_widget(options, targets, rest)
                return None
            if not rest:
                raise UsageError("%pressure: name a scenario: ramp, spike, sawtooth or oom")
            from memlab.lab.pressure import MemoryPressureSimulator
            from memlab.lab.scenarios import PressureScenario

            outputs = Outputs(options.get("save"), options.get("report"))
            showing = Showing(self.shell, "%pressure", quiet=options.get("quiet", False))
            scenario = PressureScenario.named(rest)
            if "seconds" in options:
                scenario = scenario.lasting(options["seconds"])
            length = scenario.seconds or 1.0
            with MemoryPressureSimulator(options.get("budget")) as simulator:
                try:
                    run = simulator.run(
                        scenario,
                        on_sample=lambda now, _rss, _told: showing.progress(
                            scenario.name, min(1.0, now / length)
                        ),
                        **targets,
                    )
                except KeyboardInterrupt:
                    showing.finish(simulator.last_run)
                    raise
            showing.finish(run)
            for written in outputs.write(run):
                print(written)
        return run if options.get("return") else None

    def _show_widget(self, options: dict[str, Any], targets: dict[str, str], scenario: str) -> None:
        if any(name in options for name in ("save", "report", "return", "quiet")):
            raise UsageError(
                "%pressure: a widget writes and returns nothing; leave out -w, or the other options"
            )
        from memlab.faces.ipython.pressure_widget import pressure_widget

        widget = pressure_widget(
            scenario or "spike", options.get("budget", "128 MiB"), options.get("seconds"), **targets
        )
        display(widget)

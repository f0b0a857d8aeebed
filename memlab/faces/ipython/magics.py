"""The magics: ``%leaks``, ``%%leaks``, ``%why``, those of the heap, of time, that measure, the guard's.

Each has two names: the short one, which is claimed only while nobody else has it, and ``memlab_...``, which
is always there. So it does not matter in which order extensions are loaded: memory_profiler's ``%memit``
stays memory_profiler's. A result is displayed, not returned: ``Out`` would keep it.

An error in how a magic was used is one line. What the user's code raises passes through as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from IPython.core.error import UsageError as ShellUsageError
from IPython.core.magic import Magics, magics_class, no_var_expand

from memlab.errors import MemlabError, UsageError
from memlab.faces.hunt_options import HUNT_OPTIONS, Option, hunt_keywords
from memlab.faces.ipython.awaiting import Awaiting
from memlab.faces.ipython.bench_magic import BenchMagic
from memlab.faces.ipython.cells import Code, cell_names
from memlab.faces.ipython.guard_magic import GuardMagic
from memlab.faces.ipython.heap_magics import HeapMagics
from memlab.faces.ipython.ledger_magics import LedgerMagics
from memlab.faces.ipython.live_magics import LiveMagics
from memlab.faces.ipython.measure_magics import AWAITING, MeasureMagics
from memlab.faces.ipython.names import evaluate, named_callable
from memlab.faces.ipython.one_line import OneLine
from memlab.faces.ipython.options import parse
from memlab.faces.ipython.pressure_magic import PressureMagic
from memlab.faces.ipython.showing import Showing
from memlab.faces.ipython.snapshot_magics import SnapshotMagics
from memlab.faces.ipython.where_magic import WhereMagic
from memlab.faces.outputs import Outputs
from memlab.faces.steps import Watched
from memlab.faces.user_errors import drop_memlab_frames

if TYPE_CHECKING:
    from memlab.lab.leak_hunt import LeakHunt
    from memlab.records.chain import Explanation
    from memlab.records.leak_report import LeakReport

__all__ = ["MemlabMagics", "register", "unregister"]

RETURN = Option("return", "o", None, "", "", "return the result as well")
QUIET = Option("quiet", "q", None, "", "", "show nothing")
LEAKS_OPTIONS = (
    *HUNT_OPTIONS,
    Option("setup", "", str, "STMT", "", "run once before"),
    Option("teardown", "", str, "STMT", "", "run once after, whatever happened"),
    RETURN,
    QUIET,
)
WHY_OPTIONS = (
    Option("keys", "k", None, "", "", "show the keys of mappings"),
    Option("chains", "n", int, "N", "", "how many chains to look for"),
    RETURN,
    QUIET,
)
SHORT_NAMES = {
    "leaks": "line_cell",
    "memit": "line_cell",
    "mprun": "line_cell",
    "memcells": "line",
    "why": "line",
    "heap": "line",
    "heapdiff": "line_cell",
    "memtrace": "line_cell",
    "memlive": "line",
    "memguard": "line",
    "pressure": "line",
    "memdiff": "line_cell",
    "memwhere": "line",
    "membench": "line_cell",
}
PREFIX = "memlab_"


@magics_class
class MemlabMagics(
    HeapMagics,
    SnapshotMagics,
    MeasureMagics,
    LedgerMagics,
    LiveMagics,
    GuardMagic,
    PressureMagic,
    WhereMagic,
    BenchMagic,
    Magics,
):
    """The magics of one shell."""

    @no_var_expand
    def leaks(self, line: str, cell: str | None = None) -> LeakReport | None:
        """Tell whether code leaks: what is left behind, which line makes it, who holds it.

        Usage::

          %%leaks [options]
          the code of one iteration

          %leaks [options] statement
          %leaks [options] name_of_a_function

        The code runs again and again in the notebook's namespace, so choose a small but whole piece of
        work. The report is shown, not kept; take it with -o.

        Options:

        -b S, --budget S
          Seconds to spend, about. Default: 30.
        -n N, --iterations N
          How often to run the code. Default: what fits in the budget.
        -w N, --warmup N
          Runs before the first reading that counts.
        --depth N
          Frames to keep for each traced block. Default: 25.
        --no-trace
          Do not trace allocations: no lines in the report, and much faster.
        --setup "STATEMENT"
          Run once before the first iteration.
        --teardown "STATEMENT"
          Run once after the last, whatever happened.
        --save FILE, --report OUT.html
          Write the result as a capture, or as one HTML page that opens offline.
        -o
          Return the LeakReport as well.
        -q
          Show nothing.

        Example::

          In [1]: %load_ext memlab
          In [2]: kept = []
          In [3]: %%leaks --budget 5
             ...: kept.append(object())

          In [4]: report = %leaks -oq -b 5 handle_request
          In [5]: report.verdict
        """
        __tracebackhide__ = True
        magic = "%leaks" if cell is None else "%%leaks"
        with OneLine():
            options, rest = parse("leaks", line, LEAKS_OPTIONS)
            outputs = Outputs(options.get("save"), options.get("report"))
            showing = Showing(self.shell, magic, quiet=options.get("quiet", False))
            step, keywords = self._steps(magic, rest, cell, options)
            from memlab.lab.leak_hunt import LeakHunt

            hunt = LeakHunt(
                step.call,
                progress=showing.progress,
                **keywords,
                **hunt_keywords(options),
            )
        report = _run(hunt, step, outputs, showing)
        return report if options.get("return") else None

    @no_var_expand
    def why(self, line: str) -> Explanation | None:
        """Show what keeps an object alive: named references from a root to it.

        Usage::

          %why [options] name_or_expression

        The notebook's own holders have their names: Out[3], _, the last traceback.

        Options:

        -n N, --chains N
          How many chains to look for. Default: 3.
        -k, --keys
          Show the keys of mappings; they may be data.
        -o
          Return the Explanation as well.
        -q
          Show nothing.

        Example::

          In [1]: cache = {"a": [1, 2]}
          In [2]: %why cache["a"]
        """
        __tracebackhide__ = True
        with OneLine():
            options, rest = parse("why", line, WHY_OPTIONS)
            showing = Showing(self.shell, "%why", quiet=options.get("quiet", False))
            shell = cast("Any", self.shell)
            code = evaluate(shell, "%why", rest)
            from memlab.collectors.references import why

            # The object goes straight from eval into the call: a name for it here would be a holder.
            result = why(
                eval(code, shell.user_global_ns, shell.user_ns),  # noqa: S307 - the user's own
                chains=options.get("chains", 3),
                reveal_keys=options.get("keys", False),
            )
        showing.finish(result)
        return result if options.get("return") else None

    def _steps(
        self, magic: str, rest: str, cell: str | None, options: dict[str, Any]
    ) -> tuple[Watched, dict[str, Any]]:
        """Return the step, and its set-up and tear-down with how the report shall name their code."""
        if cell is not None and rest:
            raise UsageError(f"%%leaks: {rest!r} is no option; code goes below, a setup after --setup")
        label = None
        step = named_callable(self.shell, magic, rest) if cell is None else None
        aliases: dict[str, str] = {}
        if step is None:
            code = Code(self.shell, magic, rest if cell is None else cell)
            step, label = code.function(), code.label
            aliases[code.filename] = code.label
        around: dict[str, Any] = {}
        for name in ("setup", "teardown"):
            if name in options:
                code = Code(self.shell, f"%leaks --{name}", options[name])
                around[name] = code.function()
                aliases[code.filename] = code.label
        return Watched(step), {"label": label, "aliases": cell_names(self.shell) | aliases, **around}


def register(shell: Any) -> None:
    """Make the magics known to a shell; does nothing when they are.

    Short names that somebody else has stay theirs, and one line says so.
    """
    magics = MemlabMagics(shell=shell)
    unregister(shell)
    tables = shell.magics_manager.magics
    taken = []
    for name, kind in SHORT_NAMES.items():
        function = getattr(magics, name)
        shell.register_magic_function(function, kind, PREFIX + name)
        if any(name in tables[one] for one in kind.split("_")):
            taken.append(name)
        else:
            shell.register_magic_function(function, kind, name)
    shell.input_transformers_post.append(Awaiting(shell, magics, AWAITING))
    for name in taken:
        print(f"memlab: %{name} is another extension's and stays so; memlab's is %{PREFIX}{name}")


def unregister(shell: Any) -> None:
    """Take the magics of memlab away; what others have registered, before or since, stays."""
    for table in shell.magics_manager.magics.values():
        ours = [n for n, f in table.items() if isinstance(getattr(f, "__self__", None), MemlabMagics)]
        for name in ours:
            magics = table.pop(name).__self__
            magics.guard_off()
            magics.forget_cells()
    transformers = shell.input_transformers_post
    transformers[:] = [one for one in transformers if not isinstance(one, Awaiting)]


def _run(hunt: LeakHunt, step: Watched, outputs: Outputs, showing: Showing) -> LeakReport:
    """Hunt and show; when the step raises, or on an interrupt, show what was seen and let it pass."""
    __tracebackhide__ = True
    try:
        report = hunt.run()
    except BaseException as error:
        is_steps = step.raised is error or isinstance(error, KeyboardInterrupt)
        seen = hunt.report if is_steps or hunt.blame == "teardown" else None
        showing.finish(seen)
        if seen is not None:
            outputs.write(seen)
        if isinstance(error, MemlabError) and not is_steps and not hunt.blame:
            raise ShellUsageError(str(error)) from None
        if is_steps or hunt.blame:
            error.__traceback__ = drop_memlab_frames(error.__traceback__)
        raise
    showing.finish(report)
    with OneLine():
        for line in outputs.write(report):
            print(line)
    return report

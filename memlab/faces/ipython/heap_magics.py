"""The magics of the heap: ``%heap``, ``%heapdiff``, ``%%heapdiff``.

A part of ``MemlabMagics``, in a file of its own. A capture holds numbers and words and none of the objects
that it shows, so a kept result keeps nothing alive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.magic import no_var_expand

from memlab.errors import UsageError
from memlab.faces.hunt_options import Option
from memlab.faces.ipython.cells import Code, cell_names
from memlab.faces.ipython.names import named_callable
from memlab.faces.ipython.one_line import OneLine
from memlab.faces.ipython.options import parse
from memlab.faces.ipython.showing import Showing
from memlab.faces.outputs import Outputs
from memlab.faces.steps import Watched

if TYPE_CHECKING:
    from memlab.records._result import Result
    from memlab.records.heap_graph import HeapGraph
    from memlab.records.heap_results import HeapDiff, HeapHoldings

__all__ = ["HeapMagics"]

_KEYS = Option("keys", "k", None, "", "", "show the keys of mappings")
_SAVE = Option("save", "", str, "FILE", "", "write the result as a capture")
_REPORT = Option("report", "", str, "OUT.html", "", "write the result as one HTML page")
_RETURN = Option("return", "o", None, "", "", "return the result as well")
_QUIET = Option("quiet", "q", None, "", "", "show nothing")
_SECONDS = Option("seconds", "t", float, "S", "", "stop the capture after so long")
HEAP_OPTIONS = (
    Option("names", "n", None, "", "", "show what the notebook's names hold"),
    Option("widget", "w", None, "", "", "show it as a widget that opens level by level"),
    _SECONDS,
    _KEYS,
    _SAVE,
    _REPORT,
    _RETURN,
    _QUIET,
)
HEAPDIFF_OPTIONS = (
    Option("setup", "", str, "STMT", "", "run once before the first capture"),
    _KEYS,
    _SAVE,
    _REPORT,
    _RETURN,
    _QUIET,
)


class HeapMagics:
    """Mixed into the magics of one shell."""

    shell: Any

    @no_var_expand
    def heap(self, line: str) -> HeapGraph | HeapHoldings | None:
        """Show all objects of the kernel: what there is by type, and which places keep most of it.

        Usage::

          %heap [options]

        The kernel stops while the heap is taken, about three times as long as one gc.collect(). What is
        shown is numbers and words: a kept result keeps no object of yours alive.

        Options:

        -n, --names
          Show what the notebook's names hold: variables, Out[3], _, the last exception; and the statement
          that frees it.
        -w, --widget
          Show the tree of what keeps what alive as a widget (needs anywidget).
        -t S, --seconds S
          Stop the capture after S seconds; the result is then marked as not complete.
          Default: never; with -n 2.
        -k, --keys
          Show the keys of mappings; they may be data.
        --save FILE, --report OUT.html
          Write the result as a capture, or as one HTML page that opens offline.
        -o
          Return the HeapGraph as well (with -n the HeapHoldings).
        -q
          Show nothing.

        Example::

          In [1]: %load_ext memlab
          In [2]: %heap
          In [3]: %heap --names
          In [4]: graph = %heap -oq
          In [5]: graph.top_retained(10)
        """
        __tracebackhide__ = True
        with OneLine():
            options, rest = parse("heap", line, HEAP_OPTIONS)
            if rest:
                raise UsageError(f"%heap: {rest!r} is no option; what keeps one object alive: %why {rest}")
            names, widget = options.get("names", False), options.get("widget", False)
            if names and widget:
                raise UsageError("%heap: the widget shows the whole heap; leave out -w or -n")
            seconds = _positive(options.get("seconds"))
            outputs = Outputs(options.get("save"), options.get("report"))
            showing = Showing(self.shell, "%heap", quiet=options.get("quiet", False))
            aliases = cell_names(self.shell)
            result = (
                _holdings(seconds)
                if names
                else _heap(seconds=seconds, reveal_keys=options.get("keys", False), aliases=aliases)
            )
            if widget and not options.get("quiet"):
                _show_widget(result)
            else:
                showing.finish(result)
            _write(outputs, result)
        return result if options.get("return") else None

    @no_var_expand
    def heapdiff(self, line: str, cell: str | None = None) -> HeapDiff | None:
        """Run code once and show what it left behind: new objects by type, and which places hold them.

        Usage::

          %%heapdiff [options]
          the code

          %heapdiff [options] statement
          %heapdiff [options] name_of_a_function

        The heap is taken before and after. Which objects are new is told exactly (on Python 3.13 and later
        by the interpreter's reference tracer, before by gc.freeze), not guessed from addresses. Lines are
        named where tracemalloc is running: `import tracemalloc; tracemalloc.start()`.

        Options:

        --setup "STATEMENT"
          Run once before the first capture.
        -k, --keys
          Show the keys of mappings; they may be data.
        --save FILE, --report OUT.html
          Write the result as a capture, or as one HTML page that opens offline.
        -o
          Return the HeapDiff as well.
        -q
          Show nothing.

        Example::

          In [1]: %load_ext memlab
          In [2]: cache = {}
          In [3]: %%heapdiff
             ...: for i in range(1000):
             ...:     cache[i] = [i]

          In [4]: diff = %heapdiff -oq handle_request
          In [5]: diff.born_objects
        """
        __tracebackhide__ = True
        magic = "%heapdiff" if cell is None else "%%heapdiff"
        with OneLine():
            options, rest = parse("heapdiff", line, HEAPDIFF_OPTIONS)
            if cell is not None and rest:
                raise UsageError(f"%%heapdiff: {rest!r} is no option; code goes below, a setup after --setup")
            outputs = Outputs(options.get("save"), options.get("report"))
            showing = Showing(self.shell, magic, quiet=options.get("quiet", False))
            step, aliases = self._step(magic, rest if cell is None else cell, whole=cell is not None)
            setup = None
            if "setup" in options:
                setup = Watched(Code(self.shell, "%heapdiff --setup", options["setup"]).function())
        if setup is not None:
            with OneLine(setup):
                setup.call()
        with OneLine(step):
            from memlab.lab.heap import heap_window

            with heap_window(reveal_keys=options.get("keys", False), aliases=aliases) as window:
                step.call()
            result = window.diff
        showing.finish(result)
        with OneLine():
            _write(outputs, result)
        return result if options.get("return") else None

    def _step(self, magic: str, text: str, *, whole: bool) -> tuple[Watched, dict[str, str]]:
        """Return the code or function to run, and how the result shall name code of cells."""
        function = None if whole else named_callable(self.shell, magic, text)
        aliases = cell_names(self.shell)
        if function is None:
            code = Code(self.shell, magic, text)
            function = code.function()
            aliases[code.filename] = code.label
        return Watched(function), aliases


def _heap(*, seconds: float | None, **options: Any) -> HeapGraph:
    from memlab.lab.heap import heap

    return heap(seconds=seconds or 0.0, **options)


def _holdings(seconds: float | None) -> HeapHoldings:
    from memlab.lab.holdings import holdings

    return holdings() if seconds is None else holdings(seconds)


def _show_widget(graph: Any) -> None:
    from IPython.display import display

    from memlab.faces.ipython.heap_widget import heap_widget

    display(heap_widget(graph))


def _positive(seconds: float | None) -> float | None:
    if seconds is not None and not 0 < seconds < float("inf"):
        raise UsageError(f"%heap: -t must be a number of seconds above 0, not {seconds:g}")
    return seconds


def _write(outputs: Outputs, result: Result) -> None:
    for line in outputs.write(result):
        print(line)

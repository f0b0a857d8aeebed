"""The magics of allocation sites: ``%%memdiff`` and ``%memdiff``.

A part of ``MemlabMagics``, in a file of its own.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, cast

from IPython.core.magic import no_var_expand

from memlab.errors import UsageError
from memlab.faces.hunt_options import Option
from memlab.faces.ipython.cells import Code, cell_names
from memlab.faces.ipython.names import evaluate
from memlab.faces.ipython.one_line import OneLine
from memlab.faces.ipython.options import parse
from memlab.faces.ipython.showing import Showing
from memlab.faces.outputs import Outputs
from memlab.faces.steps import Watched

if TYPE_CHECKING:
    from memlab.records.snapshot import Snapshot
    from memlab.records.snapshot_tables import SnapshotDiff

__all__ = ["SnapshotMagics"]

MEMDIFF_OPTIONS = (
    Option("by", "b", str, "SITE", "", "line, file, function, module, package or traceback"),
    Option("per", "n", int, "N", "", "iterations between the two"),
    Option("depth", "d", int, "N", "", "frames to keep for each block"),
    Option("own", "", None, "", "", "only blocks that your own code allocates"),
    Option("save", "", str, "FILE", "", "write the result as a capture"),
    Option("report", "", str, "OUT.html", "", "write the result as one HTML page"),
    Option("return", "o", None, "", "", "return the result as well"),
    Option("quiet", "q", None, "", "", "show nothing"),
)
_PAIR = 2


class SnapshotMagics:
    """Mixed into the magics of one shell."""

    shell: Any

    @no_var_expand
    def memdiff(self, line: str, cell: str | None = None) -> SnapshotDiff | None:
        """Show which lines hold more or less memory than before: over a cell, or between two snapshots.

        Usage::

          %%memdiff [options]
          the code of the cell

          %memdiff [options] older newer

        The cell runs once, traced; what it allocated and still holds afterwards is told by line. tracemalloc
        is joined where it runs, and left as it was. ``older`` and ``newer`` are names of snapshots, or files
        that hold one.

        Options:

        -b SITE, --by SITE
          What is compared: line (default), file, function, module, package, traceback.
        -n N, --per N
          Iterations between the two; rates are per iteration then.
        -d N, --depth N
          Frames to keep for each block while the cell runs. Default: 10.
        --own
          Only blocks that lines of your own code allocate.
        --save FILE, --report OUT.html
          Write the result as a capture, or as one HTML page that opens offline.
        -o
          Return the SnapshotDiff as well.
        -q
          Show nothing.

        Example::

          In [1]: %load_ext memlab
          In [2]: rows = []
          In [3]: %%memdiff
             ...: rows.extend(bytes(1000) for _ in range(1000))

          In [4]: %memdiff --by package before after
        """
        __tracebackhide__ = True
        magic = "%memdiff" if cell is None else "%%memdiff"
        with OneLine():
            options, rest = parse("memdiff", line, MEMDIFF_OPTIONS)
            outputs = Outputs(options.get("save"), options.get("report"))
            showing = Showing(self.shell, magic, quiet=options.get("quiet", False))
            if cell is None:
                older, newer = self._pair(rest)
                result = _compare(older, newer, options)
        if cell is not None:
            result = self._over_cell(magic, rest, cell, options)
        showing.finish(result)
        with OneLine():
            for said in outputs.write(result):
                print(said)
        return result if options.get("return") else None

    def _over_cell(self, magic: str, rest: str, cell: str, options: dict[str, Any]) -> SnapshotDiff:
        __tracebackhide__ = True
        with OneLine():
            if rest:
                raise UsageError(f"%%memdiff: {rest!r} is no option; code goes below")
            from memlab.collectors.tracing import tracing

            code = Code(self.shell, magic, cell)
            aliases = {**cell_names(self.shell), code.filename: code.label}
            trace = tracing(options.get("depth", 10), aliases=aliases)
            step = Watched(code.function())
        with OneLine(step), trace:
            older = trace.snapshot("before the cell")
            step.call()
            newer = trace.snapshot("after the cell")
            return _compare(older, newer, options)

    def _pair(self, rest: str) -> tuple[Snapshot, Snapshot]:
        try:
            words = shlex.split(rest)
        except ValueError as error:
            raise UsageError(f"%memdiff: {error}") from None
        if len(words) != _PAIR:
            raise UsageError("%memdiff: name two snapshots, or files that hold one: %memdiff older newer")
        return self._snapshot(words[0]), self._snapshot(words[1])

    def _snapshot(self, word: str) -> Snapshot:
        from memlab.records.snapshot import Snapshot
        from memlab.store.capture_file import load

        shell = cast("Any", self.shell)
        if word.isidentifier() and (word in shell.user_ns or word in shell.user_global_ns):
            found = eval(evaluate(shell, "%memdiff", word), shell.user_global_ns, shell.user_ns)  # noqa: S307
        else:
            found = load(word)
        if not isinstance(found, Snapshot):
            raise UsageError(f"%memdiff: {word} is no snapshot; memlab.snapshot() takes one")
        return found


def _compare(older: Snapshot, newer: Snapshot, options: dict[str, Any]) -> SnapshotDiff:
    if options.get("own"):
        from memlab.records.snapshot_filter import SnapshotFilter

        older, newer = (s.filtered(SnapshotFilter(own=True)) for s in (older, newer))
    return newer.diff(older, options.get("by", "line"), per=options.get("per", 1))

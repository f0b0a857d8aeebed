"""``%memcells``: the per-cell ledger, by two of the shell's hooks that are there while it is on.

A part of ``MemlabMagics``, in a file of its own. The hooks see each cell that the shell runs, cells within
cells too; what a hook raises, the shell prints and goes on.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from IPython.core.magic import no_var_expand
from IPython.display import display

from memlab._base.safety import instance_type_name
from memlab._base.source import redact
from memlab.errors import UsageError
from memlab.faces.hunt_options import Option
from memlab.faces.ipython.one_line import OneLine
from memlab.faces.ipython.options import parse
from memlab.faces.outputs import Outputs

if TYPE_CHECKING:
    from memlab.lab.cell_watch import CellWatch
    from memlab.records.cell_ledger import CellLedger

__all__ = ["LedgerMagics"]

_OWN = re.compile(r"^\s*(?:\w+\s*=\s*)?%(?:memlab_)?memcells\b", re.MULTILINE)
_HOOKS = ("pre_run_cell", "post_run_cell")
_WORDS = ("on", "off", "show", "clear", "html", "save")
_WITH_FILE = ("html", "save")
_RETURN = Option("return", "o", None, "", "", "return the ledger as well")
_QUIET = Option("quiet", "q", None, "", "", "show nothing")
_SAMPLED = Option("sampled", "", None, "", "", "leave the kernel's mark alone")


class LedgerMagics:
    """Mixed into the magics of one shell."""

    shell: Any
    _cells: CellHooks | None = None

    @no_var_expand
    def memcells(self, line: str) -> CellLedger | None:
        """Keep a ledger of cells: memory before and after each, its exact peak, what it left behind.

        Usage::

          %memcells on [--sampled]
          %memcells off
          %memcells show [-o] [-q]
          %memcells html FILE
          %memcells save FILE
          %memcells clear

        Each row has the cell's growth of RSS, its peak, its time and the collector's share of it, types of
        which there are more objects than before, variables that it bound, and a small line of RSS over time.
        Nothing of yours is held by it: rows are numbers and words. Off, the rows stay until clear.

        Options:

        --sampled
          Sample the peaks, and leave the kernel's high-water mark alone (it lowers ru_maxrss for others).
        -o
          Return the CellLedger as well.
        -q
          Show nothing.

        Example::

          In [1]: %memcells on
          In [2]: rows = [str(number) for number in range(1_000_000)]
          In [3]: %memcells show
        """
        __tracebackhide__ = True
        with OneLine():
            word, _, rest = line.strip().partition(" ")
            if word not in _WORDS:
                raise UsageError(f"%memcells: say {', '.join(_WORDS[:-1])} or {_WORDS[-1]}, not {word!r}")
            options, rest = parse("memcells", rest, (_RETURN, _QUIET, _SAMPLED))
            rest = rest.strip()
            if word in _WITH_FILE and not rest:
                raise UsageError(f"%memcells {word}: name a file, for example %memcells {word} cells.{word}")
            if word not in _WITH_FILE and rest:
                raise UsageError(f"%memcells {word}: {rest!r} is no option of it")
            return self._memcells(word, rest, options)

    def _memcells(self, word: str, file: str, options: dict[str, Any]) -> CellLedger | None:
        quiet = options.get("quiet", False)
        if word == "on":
            self._switch_on(exact=not options.get("sampled", False), quiet=quiet)
            return None
        if self._cells is None:
            raise UsageError("%memcells: nothing was measured yet; begin with %memcells on")
        if word == "off":
            self._cells.remove()
            if not quiet:
                print(f"memlab: cells are no longer measured; {len(self._cells.watch.ledger()):,} are kept")
            return None
        if word == "clear":
            self._cells.watch.clear()
            return None
        ledger = self._cells.watch.ledger()
        if word == "show":
            if not quiet:
                display(ledger)
        else:
            file = file.strip("\"'")
            outputs = Outputs(file, None) if word == "save" else Outputs(None, file)
            for said in outputs.write(ledger):
                print(said)
        return ledger if options.get("return") else None

    def _switch_on(self, *, exact: bool, quiet: bool) -> None:
        from memlab.lab.cell_watch import CellWatch

        if self._cells is not None and self._cells.on:
            raise UsageError("%memcells: it is on already; %memcells off ends it")
        old = self._cells
        self._cells = CellHooks(self.shell, CellWatch(exact=exact))
        if old is not None:
            self._cells.watch.take_over(old.watch)
        self._cells.insert()
        if not quiet:
            print("memlab: cells are measured from the next one on; %memcells show")

    def forget_cells(self) -> None:
        """End the ledger with the extension."""
        if self._cells is not None:
            self._cells.remove()


class CellHooks:
    """The two hooks of one ledger.

    Attributes:
        watch: what measures.
        on: whether the hooks are there.
    """

    def __init__(self, shell: Any, watch: CellWatch) -> None:
        self._shell = shell
        self.watch = watch
        self.on = False

    def insert(self) -> None:
        """Have the shell call us around each cell."""
        self.on = True
        for name in _HOOKS:
            self._shell.events.register(name, getattr(self, name))

    def remove(self) -> None:
        """Have it call us no more; a second time does nothing."""
        if not self.on:
            return
        self.on = False
        for name in _HOOKS:
            if getattr(self, name) in self._shell.events.callbacks[name]:
                self._shell.events.unregister(name, getattr(self, name))
        self.watch.close()

    def pre_run_cell(self, info: Any) -> None:
        """Take the figures before a cell."""
        source = info.raw_cell if isinstance(info.raw_cell, str) else ""
        if _OWN.search(source):
            return  # what looks at the ledger is not in it
        number = self._shell.execution_count if info.store_history else 0
        self.watch.begin(id(info), number, _first_line(source), self._shell.user_ns)

    def post_run_cell(self, result: Any) -> None:
        """Take the figures after it."""
        error = result.error_before_exec or result.error_in_exec
        outcome = "ok" if error is None else instance_type_name(error).removeprefix("builtins.")
        self.watch.end(id(result.info), outcome, self._shell.user_ns)


def _first_line(source: str) -> str:
    """Return a cell's first line of code; of a magic its name alone, since anything may stand behind it."""
    for line in source.splitlines():
        text = line.strip()
        if text.startswith(("%", "!")):
            return text.split()[0] if text.startswith("%") else "!…"
        if text and not text.startswith("#"):
            return redact(text)
    return ""

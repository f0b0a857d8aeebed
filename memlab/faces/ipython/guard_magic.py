"""``%memguard``: the out-of-memory guard of a notebook.

The guard interrupts; that the interrupted cell is then followed by its post-mortem is this module's doing, by
IPython's own ``post_run_cell`` event. A part of ``MemlabMagics``, in a file of its own.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from IPython.core.magic import no_var_expand
from IPython.display import display

from memlab.errors import UsageError
from memlab.faces.hunt_options import Option
from memlab.faces.ipython.one_line import OneLine
from memlab.faces.ipython.options import parse
from memlab.faces.outputs import Outputs

if TYPE_CHECKING:
    from memlab.lab.guard import MemoryGuard

__all__ = ["GuardMagic"]

_EVENT = "post_run_cell"
GUARD_OPTIONS = (
    Option("limit", "l", str, "SIZE", "", "resident memory at which the running cell is interrupted"),
    Option("save", "", str, "FILE", "", "capture file for a post-mortem (default post-mortem.memlab)"),
    Option("report", "", str, "OUT.html", "", "write a post-mortem as one HTML page as well"),
    Option("no-growth", "", None, "", "", "do not count types now, to tell later what grew"),
)


class GuardMagic:
    """Mixed into the magics of one shell."""

    shell: Any
    _guard: MemoryGuard | None = None

    @no_var_expand
    def memguard(self, line: str) -> None:
        """Interrupt the running cell before the kernel is killed for its memory, and say what took it.

        Usage::

          %memguard on [options]
          %memguard off
          %memguard status

        A process beside the kernel reads its memory fifty times a second. At the limit, or when little is
        left of the machine or container, it does what the stop button does. What the cell had made is
        still there. The post-mortem is shown below the cell and written to a file.

        It can not stop one call of C code that takes all memory at once, or that runs on for long without
        returning to Python; other threads than the main one; code that catches KeyboardInterrupt. If the
        kernel dies all the same, the last minutes are in the file.

        Options:

        -l SIZE, --limit SIZE
          Resident memory of the kernel at which the cell is interrupted, such as 6GiB. Default: only the
          reserve counts, 5 % of what the machine or the container has, at least 256 MiB.
        --save FILE
          Capture file for a post-mortem. Default: post-mortem.memlab; a name that is taken gets a number.
        --report OUT.html
          Write it as one HTML page as well.
        --no-growth
          Do not count types now; the post-mortem then cannot tell what grew.

        Example::

          In [1]: %load_ext memlab
          In [2]: %memguard on --limit 6GiB
          In [3]: %memguard status
          In [4]: %memguard off
        """
        __tracebackhide__ = True
        with OneLine():
            word, _, rest = line.strip().partition(" ")
            if word not in ("on", "off", "status"):
                raise UsageError(f"%memguard: say on, off or status, not {word!r}")
            options, rest = parse("memguard", rest, GUARD_OPTIONS)
            if rest or (options and word != "on"):
                raise UsageError(f"%memguard {word}: {rest or 'an option'} has no meaning here")
            if word == "on":
                self._guard_on(options)
            elif word == "off":
                self.guard_off()
            print(f"memlab: {self._guard.status() if self._guard is not None else 'the guard is off'}")

    def _guard_on(self, options: dict[str, Any]) -> None:
        from memlab.lab.guard import guard

        Outputs(options.get("save"), options.get("report"))  # that they cannot be written is to be known now
        made = guard(
            options.get("limit"),
            save=options.get("save", "post-mortem.memlab"),
            report=options.get("report"),
            growth=not options.get("no_growth", False),
        )
        self.guard_off()
        self._guard = made.start()
        self.shell.events.register(_EVENT, self._after_cell)

    def guard_off(self) -> None:
        """Switch the guard off; does nothing when it is."""
        guard, self._guard = self._guard, None
        if guard is None:
            return
        with contextlib.suppress(ValueError):
            self.shell.events.unregister(_EVENT, self._after_cell)
        guard.stop()

    def _after_cell(self, result: Any) -> None:
        guard = self._guard
        if guard is None or not guard.has_acted():
            return
        if not isinstance(result.error_in_exec, KeyboardInterrupt):
            guard.dismiss()
            print("memlab: memory passed the guard's line; no cell was interrupted. It watches on.")
            return
        found = guard.post_mortem()
        if found is None:
            return
        display(found)
        for path in guard.written:
            print(f"memlab: post-mortem {path}")
        print("memlab: what the cell had made is still there; the guard watches on")

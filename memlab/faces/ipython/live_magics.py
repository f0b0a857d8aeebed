"""The magics of memory over time: ``%%memtrace`` records a cell, ``%memlive`` shows the kernel live.

A part of ``MemlabMagics``, in a file of its own. What a cell raises passes through as it is; what was
recorded until then is shown before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.magic import no_var_expand

from memlab.errors import UsageError
from memlab.faces.hunt_options import Option
from memlab.faces.ipython.cells import Code, cell_names
from memlab.faces.ipython.one_line import OneLine
from memlab.faces.ipython.options import parse
from memlab.faces.outputs import Outputs
from memlab.faces.steps import Watched
from memlab.faces.user_errors import drop_memlab_frames

if TYPE_CHECKING:
    from memlab.faces.ipython.live_widget import Live
    from memlab.faces.native_outputs import NativeOutputs
    from memlab.records.capture import Capture

__all__ = ["LiveMagics"]

_RETURN = Option("return", "o", None, "", "", "return the result as well")
_QUIET = Option("quiet", "q", None, "", "", "show nothing")
TRACE_OPTIONS = (
    Option("interval", "i", float, "S", "", "seconds between two samples"),
    Option("save", "", str, "FILE", "", "write the recording as a capture"),
    Option("report", "", str, "OUT.html", "", "write the recording as one HTML page"),
    Option("sites", "", None, "", "", "sample allocations too: live memory by line over time"),
    Option("sample", "", str, "SIZE", "", "bytes between two samples (default 512KiB); implies --sites"),
    Option("native", "", None, "", "", "trace native memory too, with memray"),
    _RETURN,
    _QUIET,
)
LIVE_OPTIONS = (
    Option("interval", "i", float, "S", "", "seconds between two samples (default 0.1)"),
    Option("updates", "u", float, "N", "", "updates a second, at most 10 (default 2)"),
    Option("limit", "l", str, "SIZE", "", "say so when memory is above it"),
    Option("minutes", "m", float, "N", "", "end by itself after so long (default 60)"),
    Option("no-types", "", None, "", "", "do not count objects by type"),
    _RETURN,
)
_FINEST_S = 0.001


class LiveMagics:
    """Mixed into the magics of one shell."""

    shell: Any

    @no_var_expand
    def memtrace(self, line: str, cell: str | None = None) -> Capture | None:
        """Record the memory of a cell over time: its line, its exact peak, and what ran at the peak.

        Usage::

          %%memtrace [options]
          the code

          %memtrace [options] statement

        The code runs once. What it raises passes through; the recording until then is shown first.

        Options:

        -i S, --interval S
          Seconds between two samples. Default: 0.01, and 0.1 while nothing moves.
        --save FILE, --report OUT.html
          Write the recording as a capture, or as one HTML page that opens offline.
        --sites
          Sample allocations too, a block each 512 KiB: live memory by line, at several moments.
        --sample SIZE
          Sample a block each SIZE on average, e.g. 64KiB for a short cell. Implies --sites.
        --native
          Trace native memory too, with memray (memlab[native]): what was alive at its peak is shown as well.
          With --save or --report, what was at the peak, left at the end, and temporary is written beside.
        -o
          Return the Capture as well.
        -q
          Show nothing.

        Example::

          In [1]: %load_ext memlab
          In [2]: %%memtrace
             ...: rows = [str(number) for number in range(1_000_000)]
             ...: table = sorted(rows)

          In [3]: capture = %memtrace -oq sum([n * n for n in range(500_000)])
          In [4]: capture.peak.increment_bytes
        """
        __tracebackhide__ = True
        magic = "%memtrace" if cell is None else "%%memtrace"
        with OneLine():
            options, rest = parse("memtrace", line, TRACE_OPTIONS)
            if cell is not None and rest:
                raise UsageError(f"%%memtrace: {rest!r} is no option; code goes below")
            interval = options.get("interval")
            if interval is not None and not _FINEST_S <= interval <= 60:  # noqa: PLR2004 - a minute
                raise UsageError(f"{magic}: -i must be from {_FINEST_S:g} to 60 seconds, not {interval:g}")
            outputs = Outputs(options.get("save"), options.get("report"))
            code = Code(self.shell, magic, rest if cell is None else cell)
            from memlab.lab.recorder import record

            recording = record(interval_s=interval, sites=options.get("sample", options.get("sites", False)))
            recording.aliases = cell_names(self.shell) | {code.filename: code.label}
            native = None
            if options.get("native"):
                from memlab.faces.native_outputs import NativeOutputs

                native = NativeOutputs(outputs.capture, outputs.page, recording.aliases)
        step = Watched(code.function())
        quiet = options.get("quiet", False)
        try:
            with recording:
                if native is None:
                    step.call()
                else:
                    with OneLine(step), native:
                        step.call()
        except BaseException as error:
            if step.raised is error:
                error.__traceback__ = drop_memlab_frames(error.__traceback__)
                _finish(recording.capture, outputs, native, quiet=quiet)
            raise
        capture: Capture = recording.capture
        with OneLine():
            _finish(capture, outputs, native, quiet=quiet)
        return capture if options.get("return") else None

    @no_var_expand
    def memlive(self, line: str) -> Live | None:
        """Show the memory of this kernel live, beside the cells that run.

        Usage::

          %memlive [options]
          %memlive mark LABEL
          %memlive snapshot
          %memlive stop

        The kernel handles no click while a cell runs: in the code of a cell, use the methods of memlab.Live.

        Options:

        -i S, --interval S
          Seconds between two samples. Default: 0.1.
        -u N, --updates N
          Updates of the view a second, at most 10. Default: 2.
        -l SIZE, --limit SIZE
          Say so when memory is above this, e.g. 2GiB.
        -m N, --minutes N
          End by itself after so long. Default: 60.
        --no-types
          Do not count objects by type.
        -o
          Return the Live as well.

        Example::

          In [1]: %load_ext memlab
          In [2]: %memlive --limit 2GiB
          In [3]: %memlive mark loaded
          In [4]: %memlive stop
        """
        __tracebackhide__ = True
        with OneLine():
            options, rest = parse("memlive", line, LIVE_OPTIONS)
            from memlab.faces.ipython.live_widget import Live, latest

            what, _, label = rest.partition(" ")
            if what and (options or what not in ("mark", "snapshot", "stop") or (label and what != "mark")):
                raise UsageError(
                    f"%memlive: {rest!r} is none of: options alone, 'mark LABEL', 'snapshot', 'stop'"
                )
            if what == "mark":
                latest().mark(label)
            elif what == "snapshot":
                latest().snapshot()
            elif what == "stop":
                latest().stop()
            if what:
                return None
            live = Live(
                options.get("interval", 0.1),
                options.get("updates", 2.0),
                limit=options.get("limit"),
                minutes=options.get("minutes", 60.0),
                types=not options.get("no_types", False),
            )
            from IPython.display import display

            display(live)
        return live if options.get("return") else None


def _finish(capture: Capture, outputs: Outputs, native: NativeOutputs | None, *, quiet: bool) -> None:
    """Show what was recorded, and write it where it was asked for."""
    from IPython.display import display

    if not quiet:
        display(capture)
        if native is not None:
            display(native.peak)
    for said in (*outputs.write(capture), *(native.write() if native is not None else ())):
        print(said)

"""The magics that measure: ``%memit``, ``%%memit``, ``%mprun``, ``%%mprun``.

A part of ``MemlabMagics``, in a file of its own. Code that awaits reaches them through ``awaited``, see
``awaiting``; everything else is a plain call.
"""

from __future__ import annotations

import builtins
import contextlib
from typing import TYPE_CHECKING, Any

from IPython.core.magic import no_var_expand

from memlab._base.atomic import write_text
from memlab.errors import UsageError
from memlab.faces.hunt_options import Option
from memlab.faces.ipython.cells import IN_A_CALL, Code, cell_names
from memlab.faces.ipython.memit_line import parse_memit
from memlab.faces.ipython.one_line import OneLine
from memlab.faces.ipython.options import parse
from memlab.faces.ipython.showing import Showing
from memlab.faces.outputs import Outputs, check_writable
from memlab.faces.steps import Watched
from memlab.faces.user_errors import drop_memlab_frames

if TYPE_CHECKING:
    from typing import Self

    from memlab.faces.ipython.memit_line import MemitOptions
    from memlab.lab.line_profile import LineProfiler
    from memlab.records.line_profile import LineProfile
    from memlab.records.memit import MemitResult

__all__ = ["AWAITING", "MeasureMagics"]

AWAITING = {"memit": "memit", "memlab_memit": "memit", "mprun": "mprun", "memlab_mprun": "mprun"}
_ABSENT = object()


class MeasureMagics:
    """Mixed into the magics of one shell."""

    shell: Any

    @no_var_expand
    def memit(self, line: str, cell: str | None = None) -> MemitResult | None:
        """Measure the peak memory of code, as memory_profiler's magic of this name, without missing peaks.

        Usage::

          %memit [-r R] [-t T] [-i I] [-c] [-o] [-q] statement

          %%memit [options] setup statement, run and not measured
          the code that is measured

        The peak is the greatest RSS while the code ran; where the kernel keeps a resettable mark (Linux)
        no spike is missed, however short. The increment is the peak less the RSS before. A second line
        says what a small increment does not show. The code may await.

        Options:

        -r R
          Run R times and take the greatest peak. Default: 1.
        -t T
          Begin no further run after T seconds. Default: never.
        -i I
          Sample every I seconds where only samples can be had. Default: 0.1.
        -c
          Count child processes too.
        -o
          Return the MemitResult as well.
        -q
          Show nothing.

        Example::

          In [1]: %memit bytearray(50_000_000)
          peak memory: 121.42 MiB, increment: 47.68 MiB
        """
        __tracebackhide__ = True
        with OneLine():
            options, setup, code = self._memit_parts(line, cell, can_wait=False)
        if setup is not None:
            setup.function()()
        step = Watched(code.function())
        with OneLine(step):
            from memlab.lab.memit import memit

            result = memit(step.call, **options.keywords)
        return _show_memit(result, options)

    @no_var_expand
    def mprun(self, line: str, cell: str | None = None) -> LineProfile | None:
        """Measure functions line by line while code runs, as memory_profiler's magic of this name.

        Usage::

          %mprun -f function [-f other] statement

          %%mprun [-f function] [statement]
          more code

        Without -f a cell shows its own lines, and a line the functions of yours that it calls. Functions may
        be defined in cells, be methods, generators, coroutines; those that the code itself defines are found
        by their name. The table is part of the output, so that a saved notebook has it. While the code runs,
        @profile needs no import. The code may await.

        Options:

        -f FUNCTION
          What to follow: any expression without spaces that gives a function, method or class.
        -T FILE
          Write the table to a text file too.
        -r
          Return the result (a LineProfile) as well.
        -c
          Count child processes too: milliseconds for each line.
        -q
          Show nothing.
        --backend NAME
          psutil (RSS; default), psutil_uss, psutil_pss or tracemalloc.
        --save FILE, --report OUT.html
          Write the result as a capture, or as one HTML page that opens offline.

        Example::

          In [1]: def load():
             ...:     rows = [str(n) for n in range(1_000_000)]
             ...:     return len(rows)
          In [2]: %mprun -f load load()
        """
        __tracebackhide__ = True
        run = _Mprun(self.shell, line, cell, can_wait=False)
        call = run.code.function()
        with run:
            call()
        return run.result if run.give_back else None

    async def awaited(self, name: str, line: str, cell: str | None = None) -> Any:
        """Run a magic whose code awaits; the cell that is rewritten to this call waits for it."""
        __tracebackhide__ = True
        if AWAITING[name] == "mprun":
            run = _Mprun(self.shell, line, cell, can_wait=True)
            call = run.code.awaitable()
            with run:
                await call()
            return run.result if run.give_back else None
        with OneLine():
            options, setup, code = self._memit_parts(line, cell, can_wait=True)
        if setup is not None:
            await setup.awaitable()()
        step = Watched(code.awaitable())
        with OneLine(step):
            from memlab.lab.memit import memit_awaited

            result = await memit_awaited(step.call, **options.keywords)
        return _show_memit(result, options)

    def _memit_parts(
        self, line: str, cell: str | None, *, can_wait: bool
    ) -> tuple[MemitOptions, Code | None, Code]:
        magic = "%memit" if cell is None else "%%memit"
        options, rest = parse_memit(self, line)
        code = Code(self.shell, magic, rest if cell is None else cell, can_wait=can_wait, instead=IN_A_CALL)
        if cell is None or not rest.strip():
            return options, None, code
        return options, Code(self.shell, magic, rest, can_wait=can_wait, instead=IN_A_CALL), code


class _Mprun:
    """One ``%mprun``: its options, its code, and the profiler around it.

    Attributes:
        code: what is run.
        give_back: whether the result was asked for.
        result: the profile, when it has ended.
    """

    def __init__(self, shell: Any, line: str, cell: str | None, *, can_wait: bool) -> None:
        __tracebackhide__ = True
        magic = "%mprun" if cell is None else "%%mprun"
        self.result: LineProfile | None = None
        self._before: Any = _ABSENT
        with OneLine():
            functions: list[str] = []
            options, rest = parse("mprun", line, _options(functions))
            self.give_back = bool(options.get("return"))
            self._text = options.get("T")
            if self._text is not None:
                check_writable(self._text)
            self._outputs = Outputs(options.get("save"), options.get("report"))
            self._showing = Showing(shell, magic, quiet=options.get("quiet", False))
            source = rest if cell is None else f"{rest}\n{cell}" if rest.strip() else cell
            self.code = Code(shell, magic, source, can_wait=can_wait, instead=IN_A_CALL)
            from memlab.lab.line_profile import LineProfiler

            self._profiler = LineProfiler(
                backend=options.get("backend"),
                include_children=options.get("children", False),
                aliases=cell_names(shell) | {self.code.filename: self.code.label},
            )
            for name in functions:
                self._profiler.add(_function(shell, name, self.code))
            if not functions:
                _choose(shell, magic, self.code, self._profiler)

    def __enter__(self) -> Self:
        """Begin, with the profiler as the builtin ``profile``, as memory_profiler has it.

        (No generator: ``contextlib`` would put memlab's frames back into the code's exception.)
        """
        __tracebackhide__ = True
        names = vars(builtins)
        self._before = names.get("profile", _ABSENT)
        with OneLine():
            self._profiler.start()
        names["profile"] = self._profiler
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Show what was seen however the code ends; its exception passes without memlab's frames."""
        __tracebackhide__ = True
        try:
            if error is not None:
                self._profiler.failed(error)
                error.__traceback__ = drop_memlab_frames(error.__traceback__)
            self.result = self._profiler.stop()
        finally:
            if self._before is _ABSENT:
                vars(builtins).pop("profile", None)
            else:
                vars(builtins)["profile"] = self._before
        self._showing.finish(self.result)
        with OneLine():
            self._write(self.result)

    def _write(self, result: LineProfile) -> None:
        if self._text is not None:
            write_text(self._text, result.to_text() + "\n")
            print(f"\n*** Profile printout saved to text file {self._text}.")
        for line in self._outputs.write(result):
            print(line)


def _options(functions: list[str]) -> tuple[Option, ...]:
    def add(text: str) -> list[str]:
        functions.append(text)
        return functions

    return (
        Option("function", "f", add, "FUNCTION", "", "what to follow; may be given several times"),  # type: ignore[arg-type]
        Option("T", "T", str, "FILE", "", "write the table to a text file too"),
        Option("return", "r", None, "", "", "return the result as well"),
        Option("children", "c", None, "", "", "count child processes too"),
        Option("quiet", "q", None, "", "", "show nothing"),
        Option("backend", "", str, "NAME", "", "what is read"),
        Option("save", "", str, "FILE", "", "write the result as a capture"),
        Option("report", "", str, "OUT.html", "", "write the result as one HTML page"),
    )


def _function(shell: Any, name: str, code: Code) -> Any:
    """Return what ``-f`` names; a function that the code itself defines, by its code object."""
    try:
        return eval(name, shell.user_global_ns, shell.user_ns)  # noqa: S307 - the user's own expression
    except NameError:
        from memlab.collectors.line_engine import codes_of

        for one in codes_of(code.code):
            if one.co_qualname == name:
                return one
        raise UsageError(f"%mprun: could not find function {name!r}: there is nothing of that name") from None
    except Exception as error:  # noqa: BLE001 - whatever the expression raises, in one line
        raise UsageError(
            f"%mprun: could not find function {name!r} ({type(error).__name__}: {error})"
        ) from None


def _choose(shell: Any, magic: str, code: Code, profiler: LineProfiler) -> None:
    """Follow, where no function was named, the cell itself, or what a statement calls by name."""
    if magic == "%%mprun":
        profiler.add(code.code)
        return
    found = False
    for name in code.code.co_names:
        known = shell.user_ns.get(name)
        with contextlib.suppress(UsageError):
            if callable(known) and not isinstance(known, type):
                profiler.add(known)
                found = True
    if not found:
        raise UsageError(
            "%mprun: name a function with -f (%mprun -f work work()); %%mprun shows the lines of its cell"
        )


def _show_memit(result: MemitResult, options: MemitOptions) -> MemitResult | None:
    if not options.quiet:
        print(result)
        for note in result.notes:
            print(f"  note: {note}")
        if result.source == "sampled" and not result.include_children:
            print("  note: sampled; a short spike may have been higher")
    return result if options.give_back else None

"""``%membench``: a benchmark of a cell, a statement or a function. A part of ``MemlabMagics``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.magic import no_var_expand

from memlab.errors import UsageError
from memlab.faces.hunt_options import Option
from memlab.faces.ipython.cells import Code
from memlab.faces.ipython.names import named_callable
from memlab.faces.ipython.one_line import OneLine
from memlab.faces.ipython.options import parse
from memlab.faces.ipython.showing import Showing
from memlab.faces.outputs import Outputs
from memlab.faces.user_errors import drop_memlab_frames

if TYPE_CHECKING:
    from memlab.records.benchmark import BenchmarkTable

__all__ = ["BenchMagic"]

BENCH_OPTIONS = (
    Option("samples", "n", int, "N", "", "timed samples"),
    Option("name", "", str, "NAME", "", "the benchmark's name"),
    Option("save", "", str, "FILE", "", "write the result to a capture file"),
    Option("report", "", str, "OUT.html", "", "write it as one HTML page"),
    Option("return", "o", None, "", "", "return the result as well"),
    Option("quiet", "q", None, "", "", "show nothing"),
)


class BenchMagic:
    """Mixed into the magics of one shell."""

    shell: Any

    @no_var_expand
    def membench(self, line: str, cell: str | None = None) -> BenchmarkTable | None:
        """Measure code in memory and time: peak, retained and allocated bytes, allocations, seconds.

        Usage::

          %%membench [options]
          the code of one call

          %membench [options] statement
          %membench [options] name_of_a_function
          %membench [options] name_of_a_benchmark

        The code runs many times in the notebook's namespace. Bytes and counts are measured in passes of
        their own, time with nothing beside it, in turn with a reference loop.

        Options:

        -n N, --samples N
          Timed samples. Default: 20.
        --name NAME
          The benchmark's name.
        --save FILE, --report OUT.html
          Write the result as a capture, or as one HTML page that opens offline.
        -o
          Return the BenchmarkTable as well.
        -q
          Show nothing.

        Example::

          In [1]: %load_ext memlab
          In [2]: %membench sorted(range(100_000), key=str)
        """
        __tracebackhide__ = True
        magic = "%membench" if cell is None else "%%membench"
        with OneLine():
            options, rest = parse("membench", line, BENCH_OPTIONS)
            outputs = Outputs(options.get("save"), options.get("report"))
            showing = Showing(self.shell, magic, quiet=options.get("quiet", False))
            if cell is not None and rest:
                raise UsageError(f"%%membench: {rest!r} is no option; code goes below")
            from memlab.lab.user_benchmarks import Benchmark, run_benchmarks

            if options.get("samples", 1) < 1:
                raise UsageError(f"{magic}: --samples takes a number from 1")
            known = self.shell.user_ns.get(rest) if cell is None else None
            is_name = cell is None and not isinstance(known, Benchmark)
            found = named_callable(self.shell, magic, rest) if is_name else None
            if isinstance(known, Benchmark):
                benchmark = known
            elif found is not None:
                benchmark = Benchmark(found, name=options.get("name"))
            else:
                code = Code(self.shell, magic, rest if cell is None else cell)
                benchmark = Benchmark(code.function(), name=options.get("name", "cell"))
        try:
            table = run_benchmarks([benchmark], repeats=options.get("samples", 20), progress=showing.progress)
        except BaseException as error:  # the code's own
            showing.finish(None)
            error.__traceback__ = drop_memlab_frames(error.__traceback__)
            raise
        showing.finish(table)
        with OneLine():
            for written in outputs.write(table):
                print(written)
        return table if options.get("return") else None

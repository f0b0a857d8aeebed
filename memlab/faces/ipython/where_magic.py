"""``%memwhere``: where the kernel's resident memory lies, and what can be given back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.magic import no_var_expand

from memlab.errors import UsageError
from memlab.faces.hunt_options import Option
from memlab.faces.ipython.one_line import OneLine
from memlab.faces.ipython.options import parse
from memlab.faces.ipython.showing import Showing
from memlab.faces.outputs import Outputs

if TYPE_CHECKING:
    from memlab.records.where import MemoryWhere

__all__ = ["WhereMagic"]

WHERE_OPTIONS = (
    Option("no-collect", "", None, "", "", "do not collect garbage"),
    Option("no-trim", "", None, "", "", "do not ask malloc to give memory back"),
    Option("save", "", str, "FILE", "", "write the result as a capture"),
    Option("report", "", str, "OUT.html", "", "write the result as one HTML page"),
    Option("return", "o", None, "", "", "return the result as well"),
    Option("quiet", "q", None, "", "", "show nothing"),
)


class WhereMagic:
    """Mixed into the magics of one shell."""

    shell: Any

    @no_var_expand
    def memwhere(self, line: str) -> MemoryWhere | None:
        """Show where the kernel's resident memory lies: live objects, free arenas, malloc, files, the rest.

        Usage::

          %memwhere [options]

        Read three times: now, after a collection, after malloc_trim, so that you see what can be given back.

        Options:

        --no-collect
          Do not collect garbage.
        --no-trim
          Do not ask malloc to give memory back.
        --save FILE, --report OUT.html
          Write the result as a capture, or as one HTML page that opens offline.
        -o
          Return the MemoryWhere as well.
        -q
          Show nothing.

        Example::

          In [1]: %load_ext memlab
          In [2]: %memwhere
        """
        __tracebackhide__ = True
        with OneLine():
            options, rest = parse("memwhere", line, WHERE_OPTIONS)
            if rest:
                raise UsageError(f"%memwhere: {rest!r} is no option; it takes no argument")
            outputs = Outputs(options.get("save"), options.get("report"))
            showing = Showing(self.shell, "%memwhere", quiet=options.get("quiet", False))
            from memlab.lab.where import where

            result = where(collect=not options.get("no_collect"), trim_malloc=not options.get("no_trim"))
        showing.finish(result)
        with OneLine():
            for said in outputs.write(result):
                print(said)
        return result if options.get("return") else None

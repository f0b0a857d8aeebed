"""``memlab export``: a notebook as one HTML page that loads nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from memlab._base.units import format_bytes, format_things
from memlab.errors import UsageError
from memlab.faces.cli.parser import describe

if TYPE_CHECKING:
    import argparse

    from memlab.faces.cli.console import Console

__all__ = ["HELP", "TEXTS", "add_arguments", "run"]

HELP = "write notebooks as HTML pages that open offline"
TEXTS = describe(
    "Write a notebook as one HTML page that loads nothing from the network, or several into a folder, with\n"
    "an index.html. Widgets are shown by their static form, formulas as they are typed. Scripts of outputs\n"
    "are left out.",
    "memlab export notebooks/01-find-a-leak.ipynb --execute -o out.html\n"
    "  memlab export notebooks/*.ipynb --execute --folder out/html",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument(
        "notebook", metavar="NOTEBOOK", nargs="+", help=".ipynb files, read and never changed"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("-o", "--output", metavar="OUT.html", help="default: NOTEBOOK with the suffix .html")
    where.add_argument("--folder", metavar="DIR", help="write all pages there, and index.html")
    parser.add_argument("--execute", action="store_true", help="run all cells first, in a kernel of its own")
    parser.add_argument("--no-input", action="store_true", help="leave out the code")
    parser.add_argument("--allow-network", action="store_true", help="write it even if it loads other files")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def run(args: argparse.Namespace, console: Console) -> int:
    """Execute if asked to, convert, check, write."""
    from memlab.faces.export import MOST_PAGE, export_all, export_notebook

    options = {"execute": args.execute, "show_input": not args.no_input, "allow_network": args.allow_network}
    if args.folder is not None:
        made = export_all(args.notebook, args.folder, progress=console.progress, **options)
        console.out(f"{format_things(len(made), 'page')} and index.html written to {args.folder}")
    elif len(args.notebook) > 1:
        raise UsageError("several notebooks need --folder DIR, where their pages are written")
    else:
        out = args.output or str(Path(args.notebook[0]).with_suffix(".html"))
        made = [export_notebook(args.notebook[0], out, progress=console.progress, **options)]
        console.out(f"page written to {out}")
    for one in made:
        if one.size_bytes > MOST_PAGE:
            console.hint(
                f"{one.path.name} is large: {format_bytes(one.size_bytes)}; show fewer results whole"
            )
    return 0

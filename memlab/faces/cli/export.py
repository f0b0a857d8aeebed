"""``memlab export``: a notebook as one HTML page that loads nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from memlab.faces.cli.parser import describe

if TYPE_CHECKING:
    import argparse

    from memlab.faces.cli.console import Console

__all__ = ["HELP", "TEXTS", "add_arguments", "run"]

HELP = "write a notebook as one HTML page that opens offline"
TEXTS = describe(
    "Write a notebook as one HTML page that loads nothing from the network. Widgets are shown by their\n"
    "static form. Formulas stay as they are typed: what would draw them is loaded from the network.",
    "memlab export notebooks/01-find-a-leak.ipynb --execute -o out.html",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("notebook", metavar="NOTEBOOK", help="an .ipynb file; it is read and never changed")
    parser.add_argument("-o", "--output", metavar="OUT.html", help="default: NOTEBOOK with the suffix .html")
    parser.add_argument("--execute", action="store_true", help="run all cells first, in a kernel of its own")
    parser.add_argument("--no-input", action="store_true", help="leave out the code")
    parser.add_argument("--allow-network", action="store_true", help="write it even if it loads other files")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def run(args: argparse.Namespace, console: Console) -> int:
    """Execute if asked to, convert, check, write."""
    from memlab.faces.export import export_notebook

    out = args.output or str(Path(args.notebook).with_suffix(".html"))
    export_notebook(
        args.notebook,
        out,
        execute=args.execute,
        show_input=not args.no_input,
        allow_network=args.allow_network,
        progress=console.progress,
    )
    console.out(f"page written to {out}")
    return 0

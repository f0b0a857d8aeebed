"""``memlab demo``: hunt the leak of a real published package, then its fixed version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from memlab.faces.cli.parser import describe

if TYPE_CHECKING:
    import argparse

    from memlab.faces.cli.console import Console

__all__ = ["HELP", "TEXTS", "add_arguments", "run"]

HELP = "hunt a real package's leak, then its fixed version"
TEXTS = describe(
    "Install a package at the version that leaks and at the one that does not, each in an environment of\n"
    "its own, hunt in both, and write two reports. Needs the network the first time.",
    "memlab demo --keep out/demo",
    "exit codes:\n  0    the leak was found in one and not in the other\n  1    it was not so\n"
    "  2    bad use, or the packages cannot be installed",
)
FOLDER = "memlab-demo"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument(
        "--keep",
        metavar="DIR",
        default=FOLDER,
        help=f"environments and reports (default {FOLDER})",
    )
    parser.add_argument("--budget", metavar="S", type=float, default=20.0, help="seconds for each hunt")


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the demonstration."""
    from memlab.faces.demo import run_demo

    return run_demo(Path(args.keep), budget_s=args.budget, say=console.out)

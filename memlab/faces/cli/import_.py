"""``memlab import``: a file of ``tracemalloc.Snapshot.dump`` as a capture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memlab.faces.cli.parser import describe
from memlab.faces.outputs import check_writable, refuse_same

if TYPE_CHECKING:
    import argparse

    from memlab.faces.cli.console import Console

__all__ = ["HELP", "TEXTS", "add_arguments", "run"]

HELP = "take in a file that tracemalloc's dump() has written"
TEXTS = describe(
    "Read a pickled tracemalloc snapshot and write it as a capture. A pickle can run code when it is\n"
    "loaded; this one is read by a process of its own that knows nothing but a snapshot's plain data.",
    "memlab import before.pickle before.memlab",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("file", metavar="FILE", help="what tracemalloc.Snapshot.dump() has written")
    parser.add_argument("output", metavar="OUT.memlab", help="the capture to write")
    parser.add_argument("--label", metavar="NAME", help="the snapshot's name; default: the file's")
    parser.add_argument(
        "--memory", type=int, default=2048, metavar="MIB", help="memory it may take; default: 2048"
    )
    parser.add_argument("--seconds", type=int, default=60, metavar="S", help="time it may take; default: 60")


def run(args: argparse.Namespace, console: Console) -> int:
    """Read, write, say what it holds."""
    refuse_same(args.file, args.output, "the capture would overwrite the file")
    check_writable(args.output)
    from memlab._base.units import format_bytes
    from memlab.lab.foreign_snapshots import import_tracemalloc

    snapshot = import_tracemalloc(
        args.file, label=args.label, memory_bytes=args.memory * 1024 * 1024, seconds=args.seconds
    )
    snapshot.save(args.output)
    held = f"{format_bytes(snapshot.total_bytes)} in {snapshot.total_blocks:,} blocks"
    console.out(f"capture written to {args.output}: {held}")
    return 0

"""``memlab import``: take in a file of tracemalloc's or of memray's, read where it can do no harm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memlab.errors import CaptureError, UsageError
from memlab.faces.cli.parser import describe
from memlab.faces.outputs import check_writable, refuse_same

if TYPE_CHECKING:
    import argparse

    from memlab.faces.cli.console import Console
    from memlab.records.snapshot import Snapshot

__all__ = ["HELP", "TEXTS", "add_arguments", "run"]

HELP = "take in a file of tracemalloc's or of memray's"
TEXTS = describe(
    "Read a pickled tracemalloc snapshot, or a capture of memray's, and write it as a capture. A pickle\n"
    "can run code when it is loaded, and a damaged capture can crash memray's reader: both are read by a\n"
    "process of its own with bounded memory and time.",
    "memlab import before.pickle before.memlab\n  memlab import --measure leaked run.bin leaked.memlab",
)
_MEASURES = ("peak", "leaked", "temporary")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("file", metavar="FILE", help="what tracemalloc's dump(), or memray, has written")
    parser.add_argument("output", metavar="OUT.memlab", help="the capture to write")
    parser.add_argument("--label", metavar="NAME", help="the snapshot's name; default: the file's")
    parser.add_argument(
        "--measure", choices=_MEASURES, help="what is taken of a capture of memray's; default: peak"
    )
    parser.add_argument(
        "--memory", type=int, default=2048, metavar="MIB", help="memory it may take; default: 2048"
    )
    parser.add_argument("--seconds", type=int, default=60, metavar="S", help="time it may take; default: 60")


def run(args: argparse.Namespace, console: Console) -> int:
    """Read, write, say what it holds."""
    refuse_same(args.file, args.output, "the capture would overwrite the file")
    check_writable(args.output)
    from memlab._base.units import format_bytes

    snapshot = _imported(args)
    snapshot.save(args.output)
    held = f"{format_bytes(snapshot.total_bytes)} in {snapshot.total_blocks:,} blocks"
    console.out(f"capture written to {args.output}: {held}")
    return 0


def _imported(args: argparse.Namespace) -> Snapshot:
    from memlab.collectors.memray_files import is_memray_file
    from memlab.lab.foreign_memray import import_memray
    from memlab.lab.foreign_snapshots import import_tracemalloc

    for name, value in (("memory", args.memory), ("seconds", args.seconds)):
        if value < 1:
            raise UsageError(f"--{name}: {name} must be a whole number above 0, not {value}")
    bounds = {"memory_bytes": args.memory * 1024 * 1024, "seconds": args.seconds}
    try:
        is_memrays = is_memray_file(args.file)
    except FileNotFoundError:
        raise CaptureError(f"{args.file} is not there: check the path") from None
    except OSError:
        is_memrays = False  # the reader says what is wrong with it
    if is_memrays:
        return import_memray(args.file, args.measure or "peak", label=args.label, **bounds)
    if args.measure is not None:
        raise UsageError("--measure is for captures of memray's; a tracemalloc snapshot holds live blocks")
    return import_tracemalloc(args.file, label=args.label, **bounds)

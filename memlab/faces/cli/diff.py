"""``memlab diff``: what changed between two saved snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from memlab.errors import UsageError
from memlab.faces.cli.parser import describe
from memlab.faces.outputs import Outputs, check_writable, refuse_same

if TYPE_CHECKING:
    import argparse

    from memlab.faces.cli.console import Console
    from memlab.records.snapshot import Snapshot
    from memlab.records.snapshot_tables import SnapshotDiff

__all__ = ["HELP", "TEXTS", "add_arguments", "load_snapshot", "run"]

HELP = "show what changed between two saved snapshots"
TEXTS = describe(
    "Show which lines hold more or less in the newer snapshot than in the older one. Lines that moved\n"
    "because a file was edited in between are matched by what they say.",
    "memlab diff before.memlab after.memlab --by function --per 100 --html growth.html",
)
_BY = ("line", "file", "function", "module", "package", "traceback", "thread")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("older", metavar="OLDER", help="a capture of a snapshot")
    parser.add_argument("newer", metavar="NEWER", help="a later one")
    parser.add_argument("--by", choices=_BY, default="line", help="what is compared; default: line")
    parser.add_argument(
        "--cumulative", action="store_true", help="count a block once at each site on its traceback"
    )
    parser.add_argument(
        "--per", type=int, default=1, metavar="N", help="iterations between the two: show rates"
    )
    parser.add_argument("--own", action="store_true", help="only blocks that your own code allocates")
    parser.add_argument("--include", action="append", default=[], metavar="PATTERN", help="only these files")
    parser.add_argument("--exclude", action="append", default=[], metavar="PATTERN", help="not these files")
    parser.add_argument("--html", metavar="OUT.html", help="write it as one HTML page too")
    parser.add_argument("--save", metavar="FILE", help="write it as a capture too")
    parser.add_argument(
        "--export", metavar="OUT", help="write it for another tool; the ending names the form"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")


def run(args: argparse.Namespace, console: Console) -> int:
    """Load both, compare, print, write."""
    outputs = Outputs(args.save, args.html)
    for written in filter(None, (args.save, args.html, args.export)):
        for read in (args.older, args.newer):
            refuse_same(written, read, "the result would overwrite a snapshot")
    if args.export is not None:
        check_writable(args.export)
    diff = _diff(args)
    if args.json:
        console.out_json(diff.to_dict())
    else:
        console.out(str(diff).rstrip("\n"))
    for line in outputs.write(diff):
        console.hint(line)
    if args.export is not None:
        console.hint(f"{diff.export(args.export)} written to {args.export}")
    return 0


def _diff(args: argparse.Namespace) -> SnapshotDiff:
    from memlab.records.sites import By
    from memlab.records.snapshot_filter import SnapshotFilter

    assert get_args(By) == _BY
    older, newer = (load_snapshot(path, "memlab diff") for path in (args.older, args.newer))
    if args.own or args.include or args.exclude:
        wanted = SnapshotFilter(tuple(args.include), tuple(args.exclude), own=args.own)
        older, newer = older.filtered(wanted), newer.filtered(wanted)
    return newer.diff(older, args.by, cumulative=args.cumulative, per=args.per)


def load_snapshot(path: str, what: str) -> Snapshot:
    """Load a capture that must hold a snapshot.

    Raises:
        UsageError: when it holds something else.
        CaptureError: when it cannot be read.
    """
    from memlab.records.snapshot import Snapshot
    from memlab.store.capture_file import load

    result = load(path)
    if not isinstance(result, Snapshot):
        raise UsageError(
            f"{what}: {path} holds a {result.kind}, not a snapshot; save one with snapshot.save()"
        )
    return result

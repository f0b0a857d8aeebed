"""A failed test's message: the verdict, then for each suspect the line that makes it and who holds it.

Short on purpose: what a person reads in a CI log. The whole report is a page of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memlab._base.units import format_bytes, format_things
from memlab.views import words

if TYPE_CHECKING:
    from memlab.records.leak_report import LeakReport, Suspect
    from memlab.records.sites import Frame
    from memlab.records.snapshot import Snapshot

__all__ = ["leak_brief", "lines_brief", "verdict_line"]

_MOST_SUSPECTS = 3
_MOST_LINES = 5
_LONGEST_SOURCE = 70
_LEAST_SHARE = 0.02


def verdict_line(report: LeakReport) -> str:
    """Return the verdict and what was left behind, in one line."""
    return f"{report.verdict.value}: {words.printable(words.headline(report))}"


def leak_brief(report: LeakReport) -> str:
    """Return the verdict, and for each suspect its line and its holder."""
    lines = [verdict_line(report)]
    for number, suspect in enumerate(report.suspects[:_MOST_SUSPECTS], 1):
        lines += _suspect(number, suspect)
    more = len(report.suspects) - _MOST_SUSPECTS
    if more > 0:
        lines.append(f"  and {more} more")
    if not report.suspects:
        lines += _sites(report) or [f"  {words.sentence(words.printable(report.reason))}"]
    return "\n".join(lines)


def lines_brief(snapshot: Snapshot, most: int = _MOST_LINES) -> list[str]:
    """Return the lines that hold most in a snapshot, each with the tester's own line that leads to it."""
    totals: dict[tuple[Frame, Frame | None], list[int]] = {}
    for row in snapshot.statistics("traceback").sites:
        total = totals.setdefault((row.site.frame, row.site.user), [0, 0])
        total[0] += row.size_bytes
        total[1] += row.blocks
    shown: list[str] = []
    least = snapshot.total_bytes * _LEAST_SHARE
    for (frame, user), (size, blocks) in sorted(totals.items(), key=lambda item: -item[1][0])[:most]:
        if size < least:
            break
        shown.append(f"  {format_bytes(size):>10} in {format_things(blocks, 'block')} at {_line(frame)}")
        if user is not None and user != frame:
            shown.append(f"{'':13}reached from {_line(user)}")
    return shown


def _suspect(number: int, suspect: Suspect) -> list[str]:
    size = format_bytes(suspect.bytes_per_iteration)
    lines = [
        (
            f"  {number}. {words.printable(words.type_text(suspect.type_name))}: "
            f"{words.suspect_objects(suspect)}, {size} per iteration"
        )
    ]
    site = suspect.site
    if site is None:
        lines.append("     made at: not traced")
    else:
        lines.append(f"     made at: {_line(site.frame)}")
        if site.user is not None and site.user != site.frame:
            lines.append(f"     reached from: {_line(site.user)}")
    if suspect.chain is not None:
        lines.append(f"     held by: {words.printable(words.chain_text(suspect.chain))}")
    else:
        lines.append("     held by: nothing in Python was seen to hold it")
    return lines


def _sites(report: LeakReport) -> list[str]:
    lines = []
    for growth in report.sites[:_MOST_SUSPECTS]:
        size = format_bytes(growth.bytes_per_iteration)
        lines.append(f"  {size} per iteration made at {_line(growth.site.frame)}")
        if growth.site.user is not None and growth.site.user != growth.site.frame:
            lines.append(f"     reached from {_line(growth.site.user)}")
    return lines


def _line(frame: Frame) -> str:
    source = words.printable(frame.source.strip(), _LONGEST_SOURCE)
    return words.printable(words.place(frame)) + (f" | {source}" if source else "")

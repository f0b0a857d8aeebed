"""The pages of a snapshot, of a difference and of a flame tree: what grew most, and where it lies.

In the order of a reader's questions: how much, through which of my lines, along which stacks, in whose code,
and then every line in a table.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from memlab._base.units import format_bytes, format_signed_bytes
from memlab.errors import UsageError
from memlab.records.sites import Frame
from memlab.views import words
from memlab.views.flame_data import flame_columns
from memlab.views.flame_map import flame_block, places_block
from memlab.views.flame_words import (
    folded_note,
    growth_headline,
    live_headline,
    most_frame,
    own_lines,
    widths_note,
)
from memlab.views.heap_blocks import share_text
from memlab.views.leak_page import site_cell
from memlab.views.page import Bar, Cell, Column, Figure, Page, Section, Table, Texts
from memlab.views.sites import top_lines

if TYPE_CHECKING:
    from memlab.records.flame import FlameTree
    from memlab.records.snapshot import Snapshot
    from memlab.records.snapshot_tables import SiteDiff, SnapshotDiff
    from memlab.views.flame_words import OwnLine

__all__ = ["diff_page", "flame_page", "snapshot_page"]

_MOST_LINES = 200
_MOST_OWN = 100
_BRIEF = 10
_HALF = 50.0
_HEIGHT = 760


def snapshot_page(snapshot: Snapshot) -> Page:
    """Return the page of a snapshot: stacks, places and lines."""
    tree, problem = _tree(snapshot)
    lines = top_lines(snapshot)
    most = max((line.size_bytes for line in lines), default=0) or 1
    columns = (
        Column("Allocating line"),
        Column("Size", number=True),
        Column("Share", number=True),
        Column("Blocks", number=True),
    )
    total = snapshot.total_bytes or 1
    rows = tuple(
        (
            site_cell(_sourced(line.frame, tree)),
            _size(line.size_bytes, most),
            Cell(share_text(line.size_bytes, total), sort=line.size_bytes / total),
            Cell(f"{line.blocks:,}", sort=float(line.blocks)),
        )
        for line in lines[:_MOST_LINES]
    )
    table = Table("lines", "Lines that allocated most", columns, rows, len(lines))
    return Page(
        kind="snapshot",
        title=f"Snapshot {snapshot.label}".strip(),
        headline=live_headline(tree)
        if tree is not None
        else f"{format_bytes(snapshot.total_bytes)} live in {snapshot.total_blocks:,} blocks",
        lead=f"Live memory by call path{f': {snapshot.label}' if snapshot.label else ''}."
        f"{_through_yours(tree)}",
        badge=None,
        figures=(
            Figure("Live", format_bytes(snapshot.total_bytes), f"on the books of {snapshot.engine}"),
            Figure("Blocks", f"{snapshot.total_blocks:,}"),
            Figure("Lines", f"{len(lines):,}", "that allocated what is alive"),
            Figure("Depth", f"{snapshot.depth:,}", "frames kept for each block"),
        ),
        next_steps=(),
        sections=(
            *_views(tree),
            Section("lines-section", "By line", (table,)),
            *_notes((*snapshot.notes, *problem), tree),
        ),
        brief=_first_rows(table),
        height=_HEIGHT,
        flame=flame_columns(tree) if tree is not None else None,
    )


def diff_page(diff: SnapshotDiff) -> Page:
    """Return the page of what changed between two snapshots."""
    tree, problem = _tree(diff)
    names = " to ".join(name for name in (diff.older_label, diff.newer_label) if name)
    table = _diff_table(diff, tree)
    fates = ", ".join(f"{count:,} {change.value}" for change, count in diff.counts().items())
    said = f"What changed from {names}." if names else "What changed between two snapshots."
    per = f" {_rate(diff)}" if diff.per > 1 else ""
    return Page(
        kind="snapshot difference",
        title=f"Growth {names}".strip(),
        headline=growth_headline(tree)
        if tree is not None
        else f"{format_signed_bytes(diff.total_diff_bytes)} between the two snapshots",
        lead=f"{said}{per}{_through_yours(tree)}",
        badge=None,
        figures=_diff_figures(diff, fates, tree),
        next_steps=(),
        sections=(
            *_views(tree),
            Section("changes-section", f"By {diff.by}", (table,)),
            *_notes((*diff.notes, *problem), tree),
        ),
        brief=_first_rows(table, without=2),
        height=_HEIGHT,
        flame=flame_columns(tree) if tree is not None else None,
    )


def flame_page(tree: FlameTree) -> Page:
    """Return the page of a flame tree."""
    differs = tree.before is not None
    labels = " to ".join(name for name in (tree.before_label, tree.now_label) if name)
    table = _frames_table(tree)
    return Page(
        kind="flame graph",
        title=f"Flame graph {labels}".strip(),
        headline=growth_headline(tree) if differs else live_headline(tree),
        lead=f"Allocation stacks{f', {labels}' if labels else ''}.{_through_yours(tree)}",
        badge=None,
        figures=(
            Figure("Live", format_bytes(tree.total_bytes), f"on the books of {tree.engine}"),
            *(
                (Figure("Growth", format_signed_bytes(tree.total_diff_bytes), "since the older snapshot"),)
                if differs
                else ()
            ),
            Figure("Rows", f"{len(tree):,}", "of the merged tree"),
            Figure("Depth", f"{tree.depth:,}", "frames kept for each block"),
        ),
        next_steps=(),
        sections=(*_views(tree), Section("lines-section", f"By {tree.by}", (table,)), *_notes((), tree)),
        brief=_first_rows(table, without=2 if differs else None),
        height=_HEIGHT,
        flame=flame_columns(tree),
    )


# -- parts


def _tree(result: Snapshot | SnapshotDiff) -> tuple[FlameTree | None, tuple[str, ...]]:
    """Return a result's stacks, or None and why there are none."""
    try:
        return result.flame(), ()
    except UsageError as error:
        return None, (f"There is no flame graph here: {error}.",)


def _views(tree: FlameTree | None) -> tuple[Section, ...]:
    """Return the user's own lines, the flame graph and the treemap, where there is anything to show."""
    if tree is None:
        return ()
    if not tree.total_bytes and not (tree.before is not None and tree.before.total_bytes[0]):
        return ()
    own = own_lines(tree)
    title = "Where it grew" if tree.before is not None else "Where it was allocated"
    return (
        *(
            (
                Section(
                    "yours",
                    "Through your own lines",
                    (_own_table(tree, own),),
                    "Each stack counts once, at the innermost line of your own code in it.",
                ),
            )
            if own
            else ()
        ),
        Section("stacks", title, (flame_block(tree),)),
        Section("map", "In whose code", (places_block(tree),)),
    )


def _own_table(tree: FlameTree, own: tuple[OwnLine, ...]) -> Table:
    if tree.before is None:
        most = max(line.now for line in own) or 1
        return Table(
            "own",
            "Your own lines, by what was allocated through them",
            (Column("Line"), *(Column(t, number=True) for t in ("Size", "Share", "Blocks"))),
            tuple(
                (
                    site_cell(_frame(tree, line.frame)),
                    _size(line.now, most),
                    Cell(share_text(line.now, tree.total_bytes), sort=float(line.now)),
                    Cell(f"{line.blocks:,}", sort=float(line.blocks)),
                )
                for line in own[:_MOST_OWN]
            ),
            len(own),
        )
    changed = tuple(line for line in own if line.now != line.was or line.blocks != line.blocks_was)
    most = max((abs(line.now - line.was) for line in own), default=0) or 1
    return Table(
        "own",
        "Your own lines, by what changed through them",
        _diff_columns("Line")[:-1],
        tuple(
            (
                site_cell(_frame(tree, line.frame)),
                *_change(line.now - line.was, most),
                Cell(
                    words.growth("blocks", line.blocks - line.blocks_was),
                    sort=float(line.blocks - line.blocks_was),
                ),
                Cell(format_bytes(line.now), sort=float(line.now)),
            )
            for line in changed[:_MOST_OWN]
        ),
        len(changed),
    )


def _frames_table(tree: FlameTree) -> Table:
    """Return the table of what each frame allocated itself."""
    now, blocks = tree.now.frame_bytes.tolist(), tree.now.frame_blocks.tolist()
    before = tree.before
    title = f"By {tree.by}, without what it called"
    if before is None:
        most, total = max(now, default=0) or 1, tree.total_bytes or 1
        order = sorted((i for i, size in enumerate(now) if size), key=lambda i: -now[i])
        return Table(
            "frames",
            title,
            (Column("Frame"), *(Column(t, number=True) for t in ("Size", "Share", "Blocks"))),
            tuple(
                (
                    site_cell(_frame(tree, i)),
                    _size(now[i], most),
                    Cell(share_text(now[i], total), sort=float(now[i])),
                    Cell(f"{blocks[i]:,}", sort=float(blocks[i])),
                )
                for i in order[:_MOST_LINES]
            ),
            len(order),
        )
    was, blocks_was = before.frame_bytes.tolist(), before.frame_blocks.tolist()
    changed = [i for i in range(len(now)) if now[i] != was[i] or blocks[i] != blocks_was[i]]
    order = sorted(changed, key=lambda i: -abs(now[i] - was[i]))
    most = max((abs(now[i] - was[i]) for i in order), default=0) or 1
    return Table(
        "frames",
        title,
        _diff_columns("Frame")[:-1],
        tuple(
            (
                site_cell(_frame(tree, i)),
                *_change(now[i] - was[i], most),
                Cell(
                    words.growth("blocks", blocks[i] - blocks_was[i]), sort=float(blocks[i] - blocks_was[i])
                ),
                Cell(format_bytes(now[i]), sort=float(now[i])),
            )
            for i in order[:_MOST_LINES]
        ),
        len(order),
    )


def _diff_table(diff: SnapshotDiff, tree: FlameTree | None) -> Table:
    most = int(abs(diff.size_diff_bytes).max(initial=0)) or 1
    rows = tuple(_diff_row(diff[row], most, tree) for row in range(min(len(diff), _MOST_LINES)))
    return Table("changes", f"What changed, by {diff.by}", _diff_columns("Site"), rows, len(diff))


def _diff_columns(first: str) -> tuple[Column, ...]:
    return (
        Column(first),
        Column("Growth", number=True),
        Column("Less / more"),
        Column("Blocks", number=True),
        Column("Size now", number=True),
        Column("Change"),
    )


def _diff_row(site: SiteDiff, most: int, tree: FlameTree | None) -> tuple[Cell, ...]:
    moved = f", from line {site.moved_from}" if site.moved_from else ""
    return (
        site_cell(_sourced(site.site.frame, tree)),
        *_change(site.size_diff_bytes, most),
        Cell(words.growth("blocks", site.blocks_diff), sort=float(site.blocks_diff)),
        Cell(format_bytes(site.size_bytes), sort=float(site.size_bytes)),
        Cell(f"{site.change.value}{moved}"),
    )


def _change(growth: int, most: int) -> tuple[Cell, Cell]:
    width = round(max(abs(growth) / most * _HALF, 0.6 if growth else 0.0), 1)
    tone = "grew" if growth > 0 else "shrank" if growth < 0 else ""
    bar = Bar(_HALF if growth >= 0 else round(_HALF - width, 1), width, tone)
    return (
        Cell(format_signed_bytes(growth), sort=float(growth), tone=tone),
        Cell("", sort=float(growth), bar=bar),
    )


def _size(size: int, most: int) -> Cell:
    return Cell(format_bytes(size), sort=float(size), bar=Bar(0.0, round(size / most * 100, 1), "accent"))


def _diff_figures(diff: SnapshotDiff, fates: str, tree: FlameTree | None) -> tuple[Figure, ...]:
    figures = [
        Figure("Growth", format_signed_bytes(diff.total_diff_bytes), f"on the books of {diff.engine}"),
        Figure("Blocks", words.growth("blocks", diff.total_diff_blocks)),
        Figure("Sites that changed", f"{len(diff):,}", fates),
    ]
    if diff.per > 1:
        rate = format_signed_bytes(diff.total_diff_bytes / diff.per)
        figures.insert(1, Figure("Per iteration", rate, f"{diff.per:,} iterations lie between"))
    if tree is not None:
        figures.append(Figure("Live now", format_bytes(tree.total_bytes)))
    return tuple(figures)


def _rate(diff: SnapshotDiff) -> str:
    return f"{format_signed_bytes(diff.total_diff_bytes / diff.per)} per iteration, of {diff.per:,}."


def _through_yours(tree: FlameTree | None) -> str:
    """Say which of the user's own lines leads to most of it."""
    own = own_lines(tree) if tree is not None else ()
    if tree is None:
        return ""
    if not own:
        return ""
    first = own[0]
    if first.frame == most_frame(tree):
        return ""  # the headline says so
    spot = words.place(_frame(tree, first.frame))
    if tree.before is None:
        return f" In your own code, {spot} leads to most of it: {format_bytes(first.now)}."
    if first.now == first.was:
        return ""
    change = format_signed_bytes(first.now - first.was)
    return f" In your own code, {spot} leads to most of the change: {change}."


def _frame(tree: FlameTree, frame: int) -> Frame:
    return _sourced(
        Frame(
            tree.files[int(tree.frame_file[frame])],
            int(tree.frame_line[frame]),
            tree.functions[int(tree.frame_function[frame])],
        ),
        tree,
    )


def _sourced(frame: Frame, tree: FlameTree | None) -> Frame:
    """Return a frame with what its line says, where that was read."""
    if tree is None or frame.source:
        return frame
    for place, text in zip(tree.source_frame.tolist(), tree.sources, strict=True):
        if tree.frame_line[place] == frame.line and tree.files[int(tree.frame_file[place])] == frame.file:
            return dataclasses.replace(frame, source=text)
    return frame


def _notes(own: tuple[str, ...], tree: FlameTree | None) -> tuple[Section, ...]:
    of_tree = (*tree.notes, *folded_note(tree), *widths_note(tree)) if tree is not None else ()
    notes = tuple(dict.fromkeys((*own, *of_tree)))
    return (Section("notes", "Notes and limits", (Texts("", notes),)),) if notes else ()


def _first_rows(table: Table, rows: int = _BRIEF, without: int | None = None) -> Table:
    """Return the top of a table, less the column that only draws."""

    def keep(row: tuple[Cell, ...]) -> tuple[Cell, ...]:
        return tuple(cell for i, cell in enumerate(row) if i != without)

    columns = tuple(column for i, column in enumerate(table.columns) if i != without)
    return Table("brief", table.caption, columns, tuple(keep(r) for r in table.rows[:rows]), table.total)

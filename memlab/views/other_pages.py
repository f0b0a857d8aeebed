"""Every other kind of result as a page: explanation, snapshot, difference, memit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memlab._base.units import format_bytes, format_signed_bytes
from memlab.views import words
from memlab.views.leak_page import MOST_ROWS, chain_block, site_cell
from memlab.views.page import Bar, Cell, Column, Figure, Page, Section, Table, Texts
from memlab.views.sites import top_lines

if TYPE_CHECKING:
    from memlab.records.chain import Explanation
    from memlab.records.memit import MemitResult
    from memlab.records.snapshot import SiteDiff, Snapshot, SnapshotDiff

__all__ = [
    "diff_page",
    "explanation_page",
    "memit_page",
    "snapshot_page",
]

_MOST_CHAINS = 20
_HALF = 50.0


def explanation_page(explanation: Explanation) -> Page:
    """Return the page of who holds an object."""
    shown = explanation.chains[:_MOST_CHAINS]
    blocks = tuple(chain_block(chain) for chain in shown)
    cut = len(explanation.chains) - len(shown)
    sections = [
        Section(
            "chains",
            "What holds it",
            blocks,
            (
                "From the root at the top, down to the object."
                + (f" {cut:,} more are not drawn." if cut else "")
            )
            if blocks
            else "No chain of references from a root was found.",
        )
    ]
    sections += _notes(explanation.notes)
    count = explanation.refcount
    name = words.type_text(explanation.type_name)
    rows = tuple(
        (
            Cell(chain.root.value),
            Cell(words.chain_text(chain), mono=True),
            Cell(words.root_sentence(chain.root)),
        )
        for chain in shown
    )
    columns = (Column("Root"), Column("Chain"), Column("What the root is"))
    return Page(
        kind="explanation",
        title=f"Who holds {name}",
        headline=f"Who holds this {name}",
        lead=explanation.verdict,
        badge=None,
        figures=(
            Figure("References", f"{count:,}", "counted by the interpreter")
            if count is not None
            else Figure("References", None, "the interpreter keeps no count of this object"),
            Figure("Holders seen", f"{explanation.holders:,}", "references found in Python objects"),
            Figure(
                "Objects searched",
                f"{explanation.searched:,}",
                "" if explanation.complete else "the search stopped at its limit: there may be more",
            ),
        ),
        next_steps=(),
        sections=tuple(sections),
        brief=Table("brief", "Chains", columns, rows, len(explanation.chains)) if rows else None,
        height=420,
    )


def snapshot_page(snapshot: Snapshot) -> Page:
    """Return the page of a snapshot: its greatest lines."""
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
            site_cell(line.frame),
            Cell(
                format_bytes(line.size_bytes),
                sort=float(line.size_bytes),
                bar=Bar(0.0, round(line.size_bytes / most * 100, 1), "accent"),
            ),
            Cell(f"{line.size_bytes / total * 100:.1f} %", sort=line.size_bytes / total),
            Cell(f"{line.blocks:,}", sort=float(line.blocks)),
        )
        for line in lines[:MOST_ROWS]
    )
    table = Table("lines", "Lines that allocated most", columns, rows, len(lines))
    return Page(
        kind="snapshot",
        title=f"Snapshot {snapshot.label}".strip(),
        headline=f"{format_bytes(snapshot.total_bytes)} live in {snapshot.total_blocks:,} blocks",
        lead=f"Live memory by allocating line{f': {snapshot.label}' if snapshot.label else ''}.",
        badge=None,
        figures=(
            Figure("Live", format_bytes(snapshot.total_bytes), f"on the books of {snapshot.engine}"),
            Figure("Blocks", f"{snapshot.total_blocks:,}"),
            Figure("Lines", f"{len(lines):,}", "that allocated what is alive"),
            Figure("Depth", f"{snapshot.depth:,}", "frames kept for each block"),
        ),
        next_steps=(),
        sections=(Section("lines-section", "By line", (table,)), *_notes(snapshot.notes)),
        brief=_first_rows(table),
        height=560,
    )


def diff_page(diff: SnapshotDiff) -> Page:
    """Return the page of what changed between two snapshots."""
    names = " to ".join(name for name in (diff.older_label, diff.newer_label) if name)
    most = int(abs(diff.size_diff_bytes).max(initial=0)) or 1
    columns = (
        Column("Site"),
        Column("Growth", number=True),
        Column("Less / more"),
        Column("Blocks", number=True),
        Column("Size now", number=True),
        Column("Change"),
    )
    rows = tuple(_diff_row(site, most) for site in diff.sites[:MOST_ROWS])
    table = Table("changes", f"What changed, by {diff.by}", columns, rows, len(diff.sites))
    fates = ", ".join(f"{count:,} {change.value}" for change, count in diff.counts().items())
    return Page(
        kind="snapshot difference",
        title=f"Growth {names}".strip(),
        headline=f"{format_signed_bytes(diff.total_diff_bytes)} between the two snapshots",
        lead=f"What changed from {names}." if names else "What changed between two snapshots.",
        badge=None,
        figures=(
            Figure("Growth", format_signed_bytes(diff.total_diff_bytes), f"on the books of {diff.engine}"),
            Figure("Blocks", words.growth("blocks", diff.total_diff_blocks)),
            Figure("Sites that changed", f"{len(diff.sites):,}", fates),
        ),
        next_steps=(),
        sections=(Section("changes-section", "By site", (table,)), *_notes(diff.notes)),
        brief=_first_rows(table, without=2),
        height=560,
    )


def _diff_row(site: SiteDiff, most: int) -> tuple[Cell, ...]:
    width = round(max(abs(site.size_diff_bytes) / most * _HALF, 0.6 if site.size_diff_bytes else 0.0), 1)
    tone = "grew" if site.size_diff_bytes > 0 else "shrank" if site.size_diff_bytes < 0 else ""
    bar = Bar(_HALF if site.size_diff_bytes >= 0 else round(_HALF - width, 1), width, tone)
    return (
        site_cell(site.site.frame),
        Cell(format_signed_bytes(site.size_diff_bytes), sort=float(site.size_diff_bytes), tone=tone),
        Cell("", sort=float(site.size_diff_bytes), bar=bar),
        Cell(words.growth("blocks", site.blocks_diff), sort=float(site.blocks_diff)),
        Cell(format_bytes(site.size_bytes), sort=float(site.size_bytes)),
        Cell(site.change.value),
    )


def memit_page(result: MemitResult) -> Page:
    """Return the page of a measured statement."""
    exact = result.source == "vmhwm"
    columns = (
        Column("Repeat", number=True),
        Column("Peak", number=True),
        Column("Above baseline", number=True),
    )
    rows = tuple(
        (
            Cell(f"{i}", sort=float(i)),
            Cell(format_bytes(peak), sort=float(peak)),
            Cell(format_signed_bytes(peak - result.baseline_bytes), sort=float(peak)),
        )
        for i, peak in enumerate(result.peaks_bytes[:MOST_ROWS], 1)
    )
    table = Table("repeats", "Repeats", columns, rows, len(result.peaks_bytes))
    return Page(
        kind="statement",
        title="Peak memory of a statement",
        headline=f"Peak {format_bytes(result.peak_bytes)}, {format_signed_bytes(result.increment_bytes)}",
        lead="The kernel's own mark: no spike is missed." if exact else "Sampled: a lower bound.",
        badge=None,
        figures=(
            Figure("Peak", format_bytes(result.peak_bytes), f"greatest RSS ({result.source})"),
            Figure("Increment", format_signed_bytes(result.increment_bytes), "above the baseline"),
            Figure("Baseline", format_bytes(result.baseline_bytes), "RSS before the first repeat"),
        ),
        next_steps=(),
        sections=(Section("repeats-section", "Each repeat", (table,)), *_notes(result.notes)),
        brief=table,
        height=0,
    )


# -- parts


def _first_rows(table: Table, rows: int = 10, without: int | None = None) -> Table:
    """Return the top of a table, less the column that only draws."""

    def keep(row: tuple[Cell, ...]) -> tuple[Cell, ...]:
        return tuple(cell for i, cell in enumerate(row) if i != without)

    columns = tuple(column for i, column in enumerate(table.columns) if i != without)
    return Table("brief", table.caption, columns, tuple(keep(r) for r in table.rows[:rows]), table.total)


def _notes(notes: tuple[str, ...]) -> tuple[Section, ...]:
    return (Section("notes", "Notes and limits", (Texts("", notes),)),) if notes else ()

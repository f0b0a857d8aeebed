"""Every other kind of result as a page: explanation, memit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memlab._base.units import format_bytes, format_signed_bytes
from memlab.views import words
from memlab.views.leak_page import MOST_ROWS, chain_block
from memlab.views.page import Cell, Column, Figure, Page, Section, Table, Texts

if TYPE_CHECKING:
    from memlab.records.chain import Explanation
    from memlab.records.memit import MemitResult

__all__ = ["explanation_page", "memit_page"]

_MOST_CHAINS = 20


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


def _notes(notes: tuple[str, ...]) -> tuple[Section, ...]:
    return (Section("notes", "Notes and limits", (Texts("", notes),)),) if notes else ()

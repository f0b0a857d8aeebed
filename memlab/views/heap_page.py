"""A heap graph, its dominator tree and its census as pages; the other results are in ``heap_result_pages``.

A graph's page answers in the order of a reader's questions: how much is there, what keeps most of it and why,
where does the rest lie, what is it made of, whose is it, and what could go at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memlab._base.units import format_bytes, format_seconds
from memlab.views import words
from memlab.views.heap_answers import heap_answers
from memlab.views.heap_blocks import (
    census_table,
    cycles_table,
    duplicates_table,
    first_rows,
    owners_table,
    share_text,
    suspect_cards,
)
from memlab.views.heap_map import tree_block, treemap_block
from memlab.views.heap_words import (
    census_headline,
    cycles_headline,
    duplicates_headline,
    engine_text,
    graph_headline,
    graph_lead,
    suspects_headline,
    tree_headline,
    tree_lead,
    whole,
)
from memlab.views.page import Badge, Cell, Column, Figure, Page, Section, Table, Texts
from memlab.views.tree_data import tree_columns

if TYPE_CHECKING:
    from memlab.records.heap_graph import HeapGraph
    from memlab.records.heap_results import (
        HeapCensus,
        HeapSuspects,
        HeapTree,
    )

__all__ = [
    "bounds_badge",
    "census_page",
    "heap_page",
    "notes_section",
    "suspect_steps",
    "suspects_brief",
    "tree_page",
]

_KNOW = (
    "Shallow size is that of an object alone. Retained size is what would be freed if it went: all that no"
    " root would reach any more. What several places share is retained by what dominates them all, which may"
    " be none of them."
)


def heap_page(graph: HeapGraph) -> Page:
    """Return the page of all objects of a process."""
    answers = heap_answers(graph)
    census, cycles, suspects = answers.census, answers.cycles, answers.suspects
    table = census_table(census)
    sections = [
        Section("suspects", "What keeps most of it", (suspect_cards(suspects),), suspects_headline(suspects)),
        *_tree_sections(answers.tree),
        Section("types", "What it is made of", (table,), census_headline(census)),
        Section("packages", "Whose it is", (owners_table(answers.packages, graph.total_bytes),)),
        Section(
            "twins",
            "Equal strings and bytes",
            (duplicates_table(answers.duplicates),) if answers.duplicates.groups else (),
            duplicates_headline(answers.duplicates),
        ),
        Section(
            "garbage",
            "What waits for the collector",
            (cycles_table(cycles),) if cycles.cycles else (),
            cycles_headline(cycles),
        ),
    ]
    made = engine_text(graph)
    notes = dict.fromkeys(
        (_KNOW, *graph.notes, *(n for a in (suspects, answers.tree, census) for n in a.notes))
    )
    return Page(
        kind="heap graph",
        title=graph.title or "Heap graph",
        headline=graph_headline(graph),
        lead=graph_lead(graph, suspects),
        badge=bounds_badge(graph.complete),
        figures=(
            Figure("Objects", f"{len(graph):,}", f"{len(graph.edges):,} references, {_whole(graph)}"),
            Figure("Shallow sizes", format_bytes(graph.total_bytes), "of all objects together"),
            Figure("Roots", f"{len(graph.roots):,}", "objects that something outside the graph holds"),
            Figure("Unreachable", format_bytes(cycles.shallow_bytes), f"{cycles.objects:,} objects"),
            Figure("Capture", format_seconds(graph.seconds), made)
            if graph.seconds
            else Figure("Capture", None, made),
        ),
        next_steps=suspect_steps(suspects),
        sections=(*sections, *notes_section(tuple(notes))),
        brief=suspects_brief(suspects) if suspects.suspects else first_rows(table),
        height=760,
        heap=tree_columns(answers.tree),
    )


def tree_page(tree: HeapTree) -> Page:
    """Return the page of a dominator tree."""
    block = tree_block(tree)
    rows = tuple(
        (Cell(row.label, prefix=f"{row.via} " if row.via else None), *row.cells)
        for row in block.rows
        if row.level == 1
    )
    brief = Table("brief", "The greatest parts", block.columns, rows, max(len(rows), _direct(tree)))
    return Page(
        kind="dominator tree",
        title="Dominator tree",
        headline=tree_headline(tree),
        lead=tree_lead(tree),
        badge=bounds_badge(tree.complete),
        figures=(
            Figure("Objects", f"{tree.total_objects:,}"),
            Figure("Shallow sizes", format_bytes(tree.total_bytes), "of the whole heap"),
            Figure("Rows", f"{max(len(tree.parent) - 1, 0):,}", tree.cut),
        ),
        next_steps=(),
        sections=(*_tree_sections(tree), *notes_section((_KNOW, *tree.notes))),
        brief=brief if rows else None,
        height=720,
        heap=tree_columns(tree),
    )


def census_page(census: HeapCensus) -> Page:
    """Return the page of objects by type."""
    table = census_table(census)
    return Page(
        kind="heap census",
        title="Objects by type",
        headline=census_headline(census),
        lead=whole("Shallow sizes add up to the heap; retained sizes overlap.", census.complete),
        badge=bounds_badge(census.complete),
        figures=(
            Figure("Objects", f"{census.total_objects:,}"),
            Figure("Shallow sizes", format_bytes(census.total_bytes)),
            Figure("Types", f"{len(census.types):,}"),
        ),
        next_steps=(),
        sections=(Section("types", "By type", (table,)), *notes_section(census.notes)),
        brief=first_rows(table),
        height=600,
    )


# -- parts


def _tree_sections(tree: HeapTree) -> tuple[Section, ...]:
    return (
        Section("map", "Where it lies", (treemap_block(tree),)),
        Section("tree", "What keeps what alive", (tree_block(tree),)),
    )


def bounds_badge(complete: bool) -> Badge | None:
    """Return the badge of what a limit cut short; None for what is whole."""
    return None if complete else Badge("incomplete: bounds only", "warn")


def _whole(graph: HeapGraph) -> str:
    return "complete" if graph.complete else "cut short by a limit"


def _direct(tree: HeapTree) -> int:
    return int(tree.children[0]) if len(tree.children) else 0


def suspect_steps(suspects: HeapSuspects) -> tuple[str, ...]:
    """Say what a person would best ask about the first suspect."""
    if not suspects.suspects:
        return ()
    first = suspects.suspects[0]
    if first.chain is not None and len(first.chain.links) > 1:
        holder = first.chain.links[-2].label
        return (
            f"Ask whether {first.label} should keep {format_bytes(first.retained_bytes)}; {holder} holds it.",
        )
    return (f"Ask whether {first.label} should keep {format_bytes(first.retained_bytes)}.",)


def suspects_brief(suspects: HeapSuspects) -> Table:
    """Return suspects as the table that a notebook shows."""
    columns = (
        Column("Suspect"),
        Column("Retained", number=True),
        Column("Share", number=True),
        Column("Held by"),
    )
    rows = tuple(
        (
            Cell(suspect.label, mono=True),
            Cell(format_bytes(suspect.retained_bytes), sort=float(suspect.retained_bytes)),
            Cell(share_text(suspect.share, 1.0), sort=suspect.share),
            Cell(
                words.chain_text(suspect.chain) if suspect.chain is not None else "no root found", mono=True
            ),
        )
        for suspect in suspects.suspects[:5]
    )
    return Table("brief", "Suspects", columns, rows, len(suspects.suspects))


def notes_section(notes: tuple[str, ...]) -> tuple[Section, ...]:
    """Return the section of notes, where there are any."""
    return (Section("notes", "Notes and limits", (Texts("", notes),)),) if notes else ()

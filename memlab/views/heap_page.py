"""The heap as pages: a whole graph, and each of the small results that are drawn from one.

A graph's page answers in the order of a reader's questions: how much is there, what keeps most of it and why,
where does the rest lie, what is it made of, whose is it, and what could go at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memlab._base.units import format_bytes, format_seconds, format_signed_bytes
from memlab.views import words
from memlab.views.heap_answers import heap_answers
from memlab.views.heap_blocks import (
    census_table,
    contents_table,
    cycles_table,
    duplicates_table,
    first_rows,
    growth_cards,
    holdings_table,
    owners_table,
    share_text,
    suspect_cards,
    tree_block,
    treemap_block,
    type_diff_table,
)
from memlab.views.heap_words import (
    census_headline,
    cycles_headline,
    diff_headline,
    diff_lead,
    duplicates_headline,
    engine_text,
    freed_headline,
    graph_headline,
    graph_lead,
    holdings_headline,
    owners_headline,
    suspects_headline,
    tree_headline,
    tree_lead,
    whole,
)
from memlab.views.leak_page import chain_block
from memlab.views.page import Badge, Cell, Column, Figure, Page, Section, Table, Texts
from memlab.views.tree_data import tree_columns

if TYPE_CHECKING:
    from memlab.records.heap_graph import HeapGraph
    from memlab.records.heap_results import (
        Freed,
        HeapCensus,
        HeapCycles,
        HeapDiff,
        HeapDuplicates,
        HeapHoldings,
        HeapOwners,
        HeapSuspects,
        HeapTree,
    )
    from memlab.views.page import Block

__all__ = [
    "census_page",
    "cycles_page",
    "duplicates_page",
    "freed_page",
    "heap_diff_page",
    "heap_page",
    "holdings_page",
    "owners_page",
    "suspects_page",
    "tree_page",
]

_MOST_CHAINS = 5
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
        _section(
            "suspects", "What keeps most of it", (suspect_cards(suspects),), suspects_headline(suspects)
        ),
        *_tree_sections(answers.tree),
        _section("types", "What it is made of", (table,), census_headline(census)),
        _section("packages", "Whose it is", (owners_table(answers.packages, graph.total_bytes),)),
        _section(
            "twins",
            "Equal strings and bytes",
            (duplicates_table(answers.duplicates),) if answers.duplicates.groups else (),
            duplicates_headline(answers.duplicates),
        ),
        _section(
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
        badge=_bounds(graph.complete),
        figures=(
            Figure("Objects", f"{len(graph):,}", f"{len(graph.edges):,} references, {_whole(graph)}"),
            Figure("Shallow sizes", format_bytes(graph.total_bytes), "of all objects together"),
            Figure("Roots", f"{len(graph.roots):,}", "objects that something outside the graph holds"),
            Figure("Unreachable", format_bytes(cycles.shallow_bytes), f"{cycles.objects:,} objects"),
            Figure("Capture", format_seconds(graph.seconds), made)
            if graph.seconds
            else Figure("Capture", None, made),
        ),
        next_steps=_graph_steps(suspects),
        sections=(*sections, *_notes(tuple(notes))),
        brief=_suspects_brief(suspects) if suspects.suspects else first_rows(table),
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
        badge=_bounds(tree.complete),
        figures=(
            Figure("Objects", f"{tree.total_objects:,}"),
            Figure("Shallow sizes", format_bytes(tree.total_bytes), "of the whole heap"),
            Figure("Rows", f"{max(len(tree.parent) - 1, 0):,}", tree.cut),
        ),
        next_steps=(),
        sections=(*_tree_sections(tree), *_notes((_KNOW, *tree.notes))),
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
        badge=_bounds(census.complete),
        figures=(
            Figure("Objects", f"{census.total_objects:,}"),
            Figure("Shallow sizes", format_bytes(census.total_bytes)),
            Figure("Types", f"{len(census.types):,}"),
        ),
        next_steps=(),
        sections=(Section("types", "By type", (table,)), *_notes(census.notes)),
        brief=first_rows(table),
        height=600,
    )


def suspects_page(suspects: HeapSuspects) -> Page:
    """Return the page of accumulation points."""
    first = suspects.suspects[0] if suspects.suspects else None
    return Page(
        kind="heap suspects",
        title="What keeps most of the heap",
        headline=suspects_headline(suspects),
        lead=whole(
            first.prose if first else "The weight of this heap lies in no single place.", suspects.complete
        ),
        badge=_bounds(suspects.complete),
        figures=(
            Figure("Suspects", f"{len(suspects.suspects):,}"),
            Figure("Heap", format_bytes(suspects.total_bytes), "shallow sizes of all objects"),
        ),
        next_steps=_graph_steps(suspects),
        sections=(
            _section("suspects", "One by one", (suspect_cards(suspects),)),
            *_notes(suspects.notes),
        ),
        brief=_suspects_brief(suspects) if first else None,
        height=640,
    )


def cycles_page(cycles: HeapCycles) -> Page:
    """Return the page of what no root reaches."""
    table = cycles_table(cycles)
    parts = tuple(
        contents_table(f"cycle-{i}", f"Freed with cycle {i}", cycle.contents, 8)
        for i, cycle in enumerate(cycles.cycles[:_MOST_CHAINS], 1)
        if cycle.contents
    )
    return Page(
        kind="heap cycles",
        title="What waits for the collector",
        headline=cycles_headline(cycles),
        lead=whole("Reference counts never free a cycle: the collector does, when it runs.", cycles.complete),
        badge=_bounds(cycles.complete),
        figures=(
            Figure("Objects", f"{cycles.objects:,}", "that no root reaches"),
            Figure("Size", format_bytes(cycles.shallow_bytes), "shallow sizes together"),
            Figure("Shapes", f"{len(cycles.cycles):,}", "of cycles; equal ones are put together"),
        ),
        next_steps=(),
        sections=(
            _section("shapes", "By shape", (table, *parts) if cycles.cycles else ()),
            *_notes(cycles.notes),
        ),
        brief=first_rows(table) if cycles.cycles else None,
        height=520,
    )


def duplicates_page(duplicates: HeapDuplicates) -> Page:
    """Return the page of equal strings and bytes."""
    table = duplicates_table(duplicates)
    return Page(
        kind="duplicates",
        title="Equal strings and bytes",
        headline=duplicates_headline(duplicates),
        lead=whole("One shared object in the place of equal ones would do.", duplicates.complete),
        badge=_bounds(duplicates.complete),
        figures=(
            Figure("Wasted", format_bytes(duplicates.wasted_bytes)),
            Figure("Groups", f"{len(duplicates.groups):,}", "of equal objects"),
        ),
        next_steps=(),
        sections=(
            _section("groups", "By group", (table,) if duplicates.groups else ()),
            *_notes(duplicates.notes),
        ),
        brief=first_rows(table) if duplicates.groups else None,
        height=520,
    )


def owners_page(owners: HeapOwners) -> Page:
    """Return the page of what modules or packages keep alive."""
    table = owners_table(owners, 0)
    return Page(
        kind="heap owners",
        title=f"What each {owners.by} keeps alive",
        headline=owners_headline(owners),
        lead=whole("Each object belongs to what dominates it nearest; sizes add up.", owners.complete),
        badge=_bounds(owners.complete),
        figures=(
            Figure("Owners", f"{len(owners.owners):,}", f"by {owners.by}"),
            Figure("Objects", f"{int(owners.objects.sum()):,}"),
            Figure("Size", format_bytes(int(owners.shallow_bytes.sum())), "shallow sizes together"),
        ),
        next_steps=(),
        sections=(Section("by-owner", "By owner", (table,)), *_notes(owners.notes)),
        brief=first_rows(table),
        height=520,
    )


def freed_page(freed: Freed) -> Page:
    """Return the page of what a cut would free."""
    table = contents_table("freed", "What would be freed", freed.contents)
    chains = tuple(chain_block(chain) for chain in freed.still_held[:_MOST_CHAINS])
    sections = [
        _section(
            "cut",
            "What was cut",
            (Texts("", freed.cut),) if freed.cut else (),
            "" if freed.cut else "Nothing.",
        ),
        _section(
            "contents",
            "What would be freed",
            (table,) if freed.contents else (),
            "" if freed.contents else "Nothing.",
        ),
    ]
    if chains:
        sections.append(
            Section("held", "What keeps it all the same", chains, "Each of these would have to go too.")
        )
    return Page(
        kind="what if",
        title="What a cut would free",
        headline=freed_headline(freed),
        lead=whole(
            "It is still held: see what keeps it." if chains else "Every other way to reach it was followed.",
            freed.complete,
        ),
        badge=_bounds(freed.complete),
        figures=(
            Figure("Freed", format_bytes(freed.freed_bytes), "shallow sizes together"),
            Figure("Objects", f"{freed.objects:,}"),
            Figure("Still held by", f"{len(freed.still_held):,}", "chains of references"),
        ),
        next_steps=(),
        sections=(*sections, *_notes(freed.notes)),
        brief=first_rows(table) if freed.contents else None,
        height=480,
    )


def heap_diff_page(diff: HeapDiff) -> Page:
    """Return the page of what changed between two captures."""
    table = type_diff_table(diff)
    born = diff.born_bytes
    cards = growth_cards(diff.containers)
    return Page(
        kind="heap difference",
        title="What changed in the heap",
        headline=diff_headline(diff),
        lead=whole(diff_lead(diff), diff.complete),
        badge=_bounds(diff.complete),
        figures=(
            Figure("Growth", format_signed_bytes(diff.bytes_diff), "shallow sizes of all objects"),
            Figure("Objects", words.growth("objects", diff.objects_diff)),
            Figure("Born and alive", format_bytes(born), f"{diff.born_objects or 0:,} objects")
            if born is not None
            else Figure("Born and alive", None, "the older capture set no birth marks"),
            Figure("Types that changed", f"{len(diff.types):,}"),
        ),
        next_steps=(),
        sections=(
            _section(
                "containers",
                "Who retains the growth",
                (cards,) if cards.cards else (),
                "" if cards.cards else "No single container was seen to retain it.",
            ),
            _section(
                "by-type", "By type", (table,) if diff.types else (), "" if diff.types else "No type changed."
            ),
            *_notes(diff.notes),
        ),
        brief=first_rows(table) if diff.types else None,
        height=640,
    )


def holdings_page(holdings: HeapHoldings) -> Page:
    """Return the page of what the notebook's names hold."""
    table = holdings_table(holdings)
    return Page(
        kind="holdings",
        title="What the notebook holds",
        headline=holdings_headline(holdings),
        lead=whole("Retained is what would be freed if all the names of an object went.", holdings.complete),
        badge=_bounds(holdings.complete),
        figures=(
            Figure("Heap", format_bytes(holdings.total_bytes), "shallow sizes of all objects"),
            Figure("Held by name", f"{len(holdings.holdings):,}", "objects"),
            Figure("Looked", f"{format_seconds(holdings.seconds)}", "to find them"),
        ),
        next_steps=(),
        sections=(
            _section("names", "By name", (table,) if holdings.holdings else ()),
            *_notes(holdings.notes),
        ),
        brief=first_rows(table) if holdings.holdings else None,
        height=520,
    )


# -- parts


def _tree_sections(tree: HeapTree) -> tuple[Section, ...]:
    return (
        Section("map", "Where it lies", (treemap_block(tree),)),
        Section("tree", "What keeps what alive", (tree_block(tree),)),
    )


def _section(name: str, title: str, blocks: tuple[Block, ...], intro: str = "") -> Section:
    return Section(name, title, blocks, intro)


def _bounds(complete: bool) -> Badge | None:
    return None if complete else Badge("incomplete: bounds only", "warn")


def _whole(graph: HeapGraph) -> str:
    return "complete" if graph.complete else "cut short by a limit"


def _direct(tree: HeapTree) -> int:
    return int(tree.children[0]) if len(tree.children) else 0


def _graph_steps(suspects: HeapSuspects) -> tuple[str, ...]:
    if not suspects.suspects:
        return ()
    first = suspects.suspects[0]
    if first.chain is not None and len(first.chain.links) > 1:
        holder = first.chain.links[-2].label
        return (
            f"Ask whether {first.label} should keep {format_bytes(first.retained_bytes)}; {holder} holds it.",
        )
    return (f"Ask whether {first.label} should keep {format_bytes(first.retained_bytes)}.",)


def _suspects_brief(suspects: HeapSuspects) -> Table:
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


def _notes(notes: tuple[str, ...]) -> tuple[Section, ...]:
    return (Section("notes", "Notes and limits", (Texts("", notes),)),) if notes else ()

"""The heap as plain text: figures, suspects in prose, the greatest types, the top of the dominator tree.

``text.render_text`` takes its case for each kind of heap result from ``RENDERERS``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memlab._base.units import format_bytes, format_seconds, format_signed_bytes, format_things
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
from memlab.views import heap_words, words
from memlab.views.heap_answers import heap_answers
from memlab.views.heap_blocks import release_text, ring_text, share_text
from memlab.views.layout import columns, fit, labelled, wrap
from memlab.views.tree_data import children_of, row_title

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from memlab.records.chain import ReferenceChain
    from memlab.records.heap_results import TypeCount

__all__ = ["RENDERERS"]

_MOST_ROWS = 10
_MOST_SUSPECTS = 5
_MOST_CHAINS = 3
_MOST_UNDER = 4
_LEVELS = ((1, 6), (2, 3), (3, 2))  # level, and how many children are shown there
_LABELS = 16
_NAME = 120


def _graph(graph: HeapGraph) -> str:
    answers = heap_answers(graph)
    lines = _first(f"Heap: {heap_words.graph_headline(graph)}", graph.complete)
    if graph.title:
        lines += wrap(words.printable(words.sentence(graph.title)), 2)
    made = f" in {format_seconds(graph.seconds)}" if graph.seconds else ""
    lines += ["", *labelled("references", f"{len(graph.edges):,}", 2, _LABELS)]
    lines += labelled("roots", f"{len(graph.roots):,}", 2, _LABELS)
    lines += labelled("unreachable", words.printable(heap_words.cycles_headline(answers.cycles)), 2, _LABELS)
    lines += labelled("captured", f"{words.printable(heap_words.engine_text(graph), 90)}{made}", 2, _LABELS)
    lines += ["", *_suspect_lines(answers.suspects)]
    lines += _census_rows(answers.census, _MOST_ROWS)
    lines += _tree_rows(answers.tree)
    return "\n".join([*lines, *_notes((*graph.notes, *answers.tree.notes))])


def _tree(tree: HeapTree) -> str:
    lines = _first(heap_words.tree_headline(tree), tree.complete)
    return "\n".join([*lines, *_tree_rows(tree), *_notes(tree.notes)])


def _census(census: HeapCensus) -> str:
    lines = _first(heap_words.census_headline(census), census.complete)
    return "\n".join([*lines, *_census_rows(census, 2 * _MOST_ROWS), *_notes(census.notes)])


def _suspects(suspects: HeapSuspects) -> str:
    return "\n".join([*_suspect_lines(suspects), *_notes(suspects.notes)])


def _cycles(cycles: HeapCycles) -> str:
    lines = _first(heap_words.cycles_headline(cycles), cycles.complete)
    rows = [
        (
            words.printable(ring_text(cycle.types), 400),
            f"{count:,}",
            f"{cycle.objects:,}",
            format_bytes(cycle.shallow_bytes),
        )
        for cycle, count in zip(cycles.cycles[:_MOST_ROWS], cycles.counts, strict=False)
    ]
    titles = ("types on the cycle", "such cycles", "objects each", "size each")
    lines += _table("Cycles", titles, rows, len(cycles.cycles), (False, True, True, True))
    return "\n".join([*lines, *_notes(cycles.notes)])


def _duplicates(duplicates: HeapDuplicates) -> str:
    lines = _first(heap_words.duplicates_headline(duplicates), duplicates.complete)
    rows = [
        (
            _type(group.type_name),
            f"{group.objects:,}",
            format_bytes(group.size_bytes),
            format_bytes(group.wasted_bytes),
            words.printable(group.holder, 40) or "not known",
        )
        for group in duplicates.groups[:_MOST_ROWS]
    ]
    titles = ("type", "equal ones", "size of one", "wasted", "one is held by")
    lines += _table("Groups", titles, rows, len(duplicates.groups), (False, True, True, True, False))
    return "\n".join([*lines, *_notes(duplicates.notes)])


def _owners(owners: HeapOwners) -> str:
    lines = _first(heap_words.owners_headline(owners), owners.complete)
    total = int(owners.shallow_bytes.sum())
    rows = [
        (words.printable(name, _NAME), f"{objects:,}", format_bytes(size), share_text(size, total))
        for name, objects, size in zip(
            owners.owners[: 2 * _MOST_ROWS],
            owners.objects.tolist(),
            owners.shallow_bytes.tolist(),
            strict=False,
        )
    ]
    by = words.printable(owners.by, 20)
    titles = (by, "objects", "size", "share")
    lines += _table(f"By {by}", titles, rows, len(owners.owners), (False, True, True, True))
    return "\n".join([*lines, *_notes(owners.notes)])


def _freed(freed: Freed) -> str:
    lines = _first(heap_words.freed_headline(freed), freed.complete)
    lines += labelled("cut", words.printable(", ".join(freed.cut) or "nothing"), 2, _LABELS)
    lines += _contents("What would be freed", freed.contents)
    if freed.still_held:
        lines += ["", "What keeps it all the same"]
        for chain in freed.still_held[:_MOST_CHAINS]:
            lines += _chain(chain)
    return "\n".join([*lines, *_notes(freed.notes)])


def _diff(diff: HeapDiff) -> str:
    lines = _first(f"Heap growth: {heap_words.diff_headline(diff)}", diff.complete)
    lines += wrap(words.printable(heap_words.diff_lead(diff)), 2)
    if diff.born_bytes is not None:
        born = f"{format_bytes(diff.born_bytes)} in {format_things(diff.born_objects or 0, 'object')}"
        lines += ["", *labelled("born and alive", born, 2, _LABELS + 2)]
    for number, one in enumerate(diff.containers[:_MOST_SUSPECTS], 1):
        entries = f"; {one.entries:,} references, {words.growth('references', one.entries_diff)}"
        kind = words.type_text(one.type_name)
        known = not kind or one.name == kind or one.name.endswith(f"({kind})")
        name = one.name if known else f"{one.name} ({kind})"
        grown = f"{format_signed_bytes(one.retained_diff)}, {words.growth('objects', one.objects)} objects"
        text = f"{number}. {name}: {grown}{entries if kind else ''}"
        lines += ["", *wrap(words.printable(text), 2, 5)]
        for site in one.sites[:1]:
            lines += labelled("allocated at", words.printable(words.place(site.frame)), 5, 5 + _LABELS)
        if one.chain is not None:
            lines += labelled("held by", words.printable(words.chain_text(one.chain)), 5, 5 + _LABELS)
        if one.contents:
            lines += labelled("made of", _made_of(one.contents), 5, 5 + _LABELS)
    rows = [
        (
            _type(t.type_name),
            words.growth("objects", t.objects_diff),
            format_signed_bytes(t.bytes_diff),
            f"{t.objects:,}",
            format_bytes(t.shallow_bytes),
        )
        for t in diff.types[:_MOST_ROWS]
    ]
    titles = ("type", "objects", "growth", "objects now", "size now")
    lines += _table("What changed, by type", titles, rows, len(diff.types), (False, True, True, True, True))
    return "\n".join([*lines, *_notes(diff.notes)])


def _holdings(holdings: HeapHoldings) -> str:
    lines = _first(heap_words.holdings_headline(holdings), holdings.complete)
    rows = [
        (
            words.printable(", ".join(one.names), 60) or "(hidden)",
            words.printable(one.kind, 20),
            fit(_type(one.type_name), 24),
            format_bytes(one.retained_bytes),
            f"{one.objects:,}",
            words.printable(release_text(one), 60),
        )
        for one in holdings.holdings[: 2 * _MOST_ROWS]
    ]
    titles = ("names", "kind", "type", "retained", "objects", "what frees it")
    numbers = (False, False, False, True, True, False)
    lines += _table("Names", titles, rows, len(holdings.holdings), numbers)
    return "\n".join([*lines, *_notes(holdings.notes)])


RENDERERS: dict[type[Any], Callable[[Any], str]] = {
    HeapGraph: _graph,
    HeapTree: _tree,
    HeapCensus: _census,
    HeapSuspects: _suspects,
    HeapCycles: _cycles,
    HeapDuplicates: _duplicates,
    HeapOwners: _owners,
    Freed: _freed,
    HeapDiff: _diff,
    HeapHoldings: _holdings,
}
"""The text of each kind of heap result."""


# -- parts


def _first(text: str, complete: bool) -> list[str]:
    lines = wrap(words.printable(text), 0, 2)
    return lines if complete else [*lines, *wrap(heap_words.whole("", complete=False).strip(), 2)]


def _suspect_lines(suspects: HeapSuspects) -> list[str]:
    lines = _first(heap_words.suspects_headline(suspects), suspects.complete)
    for number, suspect in enumerate(suspects.suspects[:_MOST_SUSPECTS], 1):
        text = (
            f"{number}. {suspect.label}: {format_bytes(suspect.retained_bytes)}"
            f" ({suspect.share * 100:.0f} % of the heap)"
        )
        lines += ["", *wrap(words.printable(text), 2, 5)]
        lines += wrap(words.printable(suspect.prose), 5)
        if suspect.chain is not None:
            lines += labelled("held by", words.printable(words.chain_text(suspect.chain)), 5, 5 + _LABELS)
        else:
            lines += labelled("held by", "no root was found that reaches it", 5, 5 + _LABELS)
        if suspect.contents:
            lines += labelled("keeps", _made_of(suspect.contents), 5, 5 + _LABELS)
    more = len(suspects.suspects) - _MOST_SUSPECTS
    return [*lines, *(["", f"  {more:,} more suspects are not shown"] if more > 0 else [])]


def _made_of(contents: Sequence[TypeCount]) -> str:
    shown = [
        f"{t.objects:,} {_type(t.type_name)} ({format_bytes(t.shallow_bytes)})"
        for t in contents[:_MOST_UNDER]
    ]
    more = len(contents) - len(shown)
    return ", ".join(shown) + (f", and {more:,} more types" if more else "")


def _contents(title: str, contents: tuple[TypeCount, ...]) -> list[str]:
    rows = [
        (_type(t.type_name), f"{t.objects:,}", format_bytes(t.shallow_bytes)) for t in contents[:_MOST_ROWS]
    ]
    return _table(title, ("type", "objects", "size"), rows, len(contents), (False, True, True))


def _census_rows(census: HeapCensus, most: int) -> list[str]:
    rows = [
        (
            _type(name),
            f"{objects:,}",
            format_bytes(shallow),
            share_text(shallow, census.total_bytes),
            format_bytes(retained),
        )
        for name, objects, shallow, retained in zip(
            census.types[:most],
            census.objects.tolist(),
            census.shallow_bytes.tolist(),
            census.retained_bytes.tolist(),
            strict=False,
        )
    ]
    titles = ("type", "objects", "shallow", "share", "retained")
    return _table("Objects by type", titles, rows, len(census.types), (False, True, True, True, True))


def _tree_rows(tree: HeapTree) -> list[str]:
    if len(tree.parent) < 2:  # noqa: PLR2004 - the whole and something in it
        return []
    total, rows = int(tree.retained_bytes[0]), []

    def add(row: int, level: int) -> None:
        for child in children_of(tree, row)[: dict(_LEVELS)[level]]:
            size = int(tree.retained_bytes[child])
            name = row_title(tree, child)
            rows.append(("  " * (level - 1) + fit(name, 70), format_bytes(size), share_text(size, total)))
            if level < len(_LEVELS):
                add(child, level + 1)

    add(0, 1)
    lines = _table("Dominator tree", ("object", "retained", "share"), rows, len(rows), (False, True, True))
    return [*lines, *(wrap(words.printable(tree.cut), 2) if tree.cut else [])]


def _table(
    title: str, titles: Sequence[str], rows: Sequence[Sequence[str]], of: int, numbers: Sequence[bool]
) -> list[str]:
    if not rows:
        return []
    head = f"{title} ({len(rows):,} of {of:,})" if len(rows) < of else title
    return ["", head, *columns(titles, rows, numbers)]


def _chain(chain: ReferenceChain) -> list[str]:
    lines = wrap(words.printable(words.chain_text(chain)), 2, 6)
    return lines + wrap(f"root: {chain.root.value}; {words.root_sentence(chain.root)}", 6)


def _type(name: str) -> str:
    return words.printable(words.type_text(name), _NAME)


def _notes(notes: Iterable[str]) -> list[str]:
    lines = [line for note in dict.fromkeys(notes) for line in wrap(f"- {words.printable(note)}", 2, 4)]
    return ["", "Notes", *lines] if lines else []

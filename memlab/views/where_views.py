"""Where the resident memory lies, in every view: text, page, table, waterfall."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memlab._base.units import format_bytes, format_signed_bytes
from memlab.errors import UnavailableError
from memlab.records.where import MemoryWhere
from memlab.views import words
from memlab.views.geometry import round_ticks, tick_label
from memlab.views.layout import columns, wrap
from memlab.views.page import Bar, Cell, Column, Facts, Figure, Page, Section, Table, Texts
from memlab.views.palette import LIGHT

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

    from memlab.records._result import Result
    from memlab.records.where import MemoryPart

__all__ = ["DRAWERS", "PAGES", "RENDERERS", "ROWS"]

_MEANINGS = {
    "live Python objects": "small objects that are alive (or garbage, before a collection)",
    "arenas, free": "room in Python's arenas that its next small objects will take",
    "malloc, in use": "greater objects, numpy's arrays, what C libraries hold",
    "malloc, free": "freed, and kept by the C library: fragmented, or for the next caller",
    "mapped files": "code of programs and libraries, mapped data files",
    "data of libraries": "variables of programs and libraries",
    "shared memory": "shared with other processes",
    "unexplained": "thread stacks, and what extensions map by themselves",
}


def _headline(where: MemoryWhere) -> str:
    if not where.stages or where.stages[0].rss_bytes is None:
        return "The resident memory of this process cannot be read here"
    parts = [part for part in where.stages[-1].parts if part.bytes]
    greatest = max(parts, key=lambda part: part.bytes or 0, default=None)
    most = f", most of it {greatest.name} ({format_bytes(greatest.bytes or 0)})" if greatest else ""
    back = where.given_back_bytes or 0
    gave = f"; {format_bytes(back)} of {format_bytes(where.stages[0].rss_bytes)} could be given back"
    return f"{format_bytes(where.stages[-1].rss_bytes or 0)} resident{most}{gave if back > 0 else ''}"


def _names(where: MemoryWhere) -> list[str]:
    return list(dict.fromkeys(part.name for stage in where.stages for part in stage.parts))


def _size(part: MemoryPart | None) -> str:
    return "not known" if part is None or part.bytes is None else format_bytes(part.bytes)


def _absent(where: MemoryWhere) -> tuple[str, ...]:
    found = {f"{part.name}: {part.reason}" for stage in where.stages for part in stage.parts if part.reason}
    return tuple(sorted(found))


def _text(where: MemoryWhere) -> str:
    lines = wrap(words.printable(_headline(where)), 0, 2)
    if where.stages:
        titles = ("part", *(words.printable(stage.label, 24) for stage in where.stages))
        rows: list[tuple[str, ...]] = [
            (words.printable(name, 40), *(_size(stage.part(name)) for stage in where.stages))
            for name in _names(where)
        ]
        totals = (
            "not known" if stage.rss_bytes is None else format_bytes(stage.rss_bytes)
            for stage in where.stages
        )
        rows.append(("RSS", *totals))
        lines += ["", *columns(titles, rows, (False, *(True for _ in where.stages)))]
    if where.collected is not None:
        lines += ["", f"  the collector found {where.collected:,} objects of garbage"]
    notes = (*_absent(where), *where.notes)
    if notes:
        lines += ["", "Notes"]
    lines += [line for note in notes for line in wrap(f"- {words.printable(note)}", 2, 4)]
    return "\n".join(lines)


def _page(where: MemoryWhere) -> Page:
    table = _table(where)
    back = where.given_back_bytes
    facts = [("objects collected", f"{where.collected:,}")] if where.collected is not None else []
    facts += list(words.environment_facts(where.environment))
    notes = (*_absent(where), *where.notes)
    sections = [Section("parts", "Where it lies", (table,))]
    if facts:
        sections.append(Section("run", "How it was read", (Facts(tuple(facts)),)))
    if notes:
        sections.append(Section("notes", "Notes and limits", (Texts("", notes),)))
    return Page(
        kind="where",
        title="Where the resident memory lies",
        headline=_headline(where),
        lead="Every resident page once. The allocators' books say who took it; at most where they say so.",
        badge=None,
        figures=(
            *(
                Figure(
                    f"RSS {stage.label}",
                    format_bytes(stage.rss_bytes) if stage.rss_bytes is not None else None,
                    "" if stage.rss_bytes is not None else "this platform does not tell",
                )
                for stage in where.stages
            ),
            Figure(
                "Given back",
                format_bytes(max(back, 0)) if back is not None else None,
                "not read" if back is None else "",
            ),
        ),
        next_steps=(),
        sections=tuple(sections),
        brief=table,
        height=520,
    )


def _table(where: MemoryWhere) -> Table:
    heads = [Column(words.printable(stage.label, 40), number=True) for stage in where.stages]
    total = max((stage.rss_bytes or 0 for stage in where.stages), default=0) or 1
    rows = []
    for name in _names(where):
        cells = []
        source = ""
        for stage in where.stages:
            part = stage.part(name)
            size = part.bytes if part is not None else None
            source = source or (part.source if part is not None else "")
            bar = (
                Bar(0.0, round(min(100.0, 100 * max(size, 0) / total), 1), "shrank")
                if size is not None
                else None
            )
            cells.append(Cell(_size(part), sort=size, bar=bar))
        change = _change(where, name)
        rows.append(
            (
                Cell(words.printable(name, 60)),
                *cells,
                Cell(format_signed_bytes(change) if change is not None else "not known", sort=change),
                Cell(_MEANINGS.get(name, "")),
                Cell(words.printable(source, 80) or "absent"),
            )
        )
    columns_ = (
        Column("Part"), *heads, Column("Change", number=True), Column("What it is"), Column("Read from")
    )  # fmt: skip
    return Table("where", "Parts of the resident memory", columns_, tuple(rows), len(rows))


def _change(where: MemoryWhere, name: str) -> int | None:
    first, last = where.stages[0].part(name), where.stages[-1].part(name)
    if first is None or last is None or first.bytes is None or last.bytes is None:
        return None
    return last.bytes - first.bytes


def _rows(where: MemoryWhere) -> Any:
    names = ("stage", "part", "bytes", "source", "reason")
    rows = [
        (stage.label, part.name, part.bytes, part.source or None, part.reason or None)
        for stage in where.stages
        for part in stage.parts
    ]
    return names, rows


def _draw(where: MemoryWhere, axes: Axes) -> None:
    """Draw the last moment as a waterfall up to RSS; what the steps before it gave back is drawn hollow."""
    if not where.stages or where.stages[-1].rss_bytes is None:
        raise UnavailableError("nothing to plot: the resident memory cannot be read here")
    last, first = where.stages[-1], where.stages[0]
    names: list[str] = []
    at = 0
    for part in last.parts:
        if part.bytes is None:
            continue
        before = first.part(part.name)
        place = len(names)
        if before is not None and before.bytes is not None and before.bytes > part.bytes:
            axes.barh(place, before.bytes, left=at, height=0.7, fill=False, ec=LIGHT["muted"], ls=":")
        axes.barh(place, part.bytes, left=at, height=0.7, color=LIGHT["accent"])
        at += part.bytes
        names.append(part.name)
    axes.barh(len(names), first.rss_bytes or 0, height=0.7, fill=False, ec=LIGHT["muted"], ls=":")
    axes.barh(len(names), last.rss_bytes or 0, height=0.7, color=LIGHT["muted"])
    names.append("RSS")
    axes.set_yticks(range(len(names)), names, fontsize="small", parse_math=False)
    axes.invert_yaxis()
    ticks = round_ticks(0, max(first.rss_bytes or 0, last.rss_bytes or 0, at), sizes=True)
    axes.set_xticks(list(ticks), [tick_label(t, ticks[1] - ticks[0], sizes=True) for t in ticks])
    axes.set_title(
        words.printable(f"Resident memory {last.label}; dotted: {first.label}", 120), parse_math=False
    )


RENDERERS: dict[type[Result], Callable[[Any], str]] = {MemoryWhere: _text}
PAGES: dict[type[Result], Callable[[Any], Page]] = {MemoryWhere: _page}
ROWS: dict[type[Result], Callable[[Any], Any]] = {MemoryWhere: _rows}
DRAWERS: dict[type[Result], Callable[[Any, Any], None]] = {MemoryWhere: _draw}

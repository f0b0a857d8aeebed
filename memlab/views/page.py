"""What a page says, before it is markup: headline, key figures, and sections made of a few kinds of block.

Every kind of result becomes one ``Page`` of plain text and numbers (``leak_page``, ``other_pages``), and one
template turns any ``Page`` into HTML. Tests read pages, so that what is said is checked apart from how it
looks. Each block names itself in ``block``; the template has a macro of that name.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from memlab.views import words

__all__ = [
    "Badge",
    "Bar",
    "Block",
    "Card",
    "Cards",
    "Cell",
    "Chain",
    "Chart",
    "Charts",
    "Code",
    "Column",
    "Facts",
    "Figure",
    "Page",
    "Part",
    "Section",
    "Step",
    "Table",
    "Texts",
    "TimeChart",
    "Tree",
    "TreeRow",
    "Treemap",
    "TreemapCell",
    "prefixed",
    "type_cell",
]


@dataclasses.dataclass(frozen=True, slots=True)
class Badge:
    """A word with a tone: ``bad``, ``good``, ``warn``, ``native`` or ``plain``."""

    text: str
    tone: str


@dataclasses.dataclass(frozen=True, slots=True)
class Figure:
    """A key figure. ``value`` is None when it is absent, and ``note`` then says why."""

    label: str
    value: str | None
    note: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Bar:
    """A bar from ``start`` over ``width``, both in per cent of the cell."""

    start: float
    width: float
    tone: str


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """A table's cell.

    Attributes:
        text: what is read.
        prefix: said before it, less loudly (a type's module); None for a cell that is no type.
        sort: what it sorts by where that is a number.
        tone: colour of the text.
        mono: set it as code.
        under: a second line, set as code.
        copy: text that a copy button takes, empty for no button.
        bar: drawn behind the number.
        spark: points of a small line in a picture of 120 by 24, and ``spark_say`` the same in words.
    """

    text: str
    prefix: str | None = None
    sort: float | None = None
    tone: str = ""
    mono: bool = False
    under: str = ""
    copy: str = ""
    bar: Bar | None = None
    spark: tuple[tuple[float, float], ...] = ()
    spark_say: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """A table's column; ``number`` sets it to the right."""

    title: str
    number: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """A table; ``total`` is the number of rows there are, those that were cut included."""

    block: ClassVar[str] = "table"

    id: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    total: int
    note: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Chart:
    """A drawn series: every place in the units of a ``width`` by ``height`` picture.

    Attributes:
        summary: the whole picture in words, for those who do not see it.
        caption: the same in one short sentence, set below it.
        line: points of the readings' line.
        dots: single readings, drawn when they are few.
        bands: left edge and width of each stretch with a shade of its own.
        steps: points of the ratchet, empty for none; ``minima`` are its readings.
        y_ticks, x_ticks: place and text.
        marks: place and text of named moments; ``level``: place and text of a horizontal line.
        spans: left edge, width, lane and text of named stretches; ``lanes`` is how many lanes they fill.
        pauses: place and height of the collector's pauses, drawn up from ``bottom``.
        flag: place of the peak and the lines said beside it; ``flag_left`` sets them before it.
        others: points of further lines, each in a hue of its own.
        say: for each point of ``line``, what a cursor there reads out.
    """

    id: str
    title: str
    value: str
    tone: str
    summary: str
    caption: str
    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int
    line: tuple[tuple[float, float], ...]
    say: tuple[str, ...]
    y_ticks: tuple[tuple[float, str], ...]
    x_ticks: tuple[tuple[float, str], ...]
    x_title: str
    dots: bool = False
    bands: tuple[tuple[float, float], ...] = ()
    steps: tuple[tuple[float, float], ...] = ()
    minima: tuple[tuple[float, float], ...] = ()
    marks: tuple[tuple[float, str], ...] = ()
    level: tuple[float, str] | None = None
    spans: tuple[tuple[float, float, int, str], ...] = ()
    lanes: int = 0
    pauses: tuple[tuple[float, float], ...] = ()
    flag: tuple[float, float, tuple[str, ...]] | None = None
    flag_left: bool = False
    others: tuple[tuple[tuple[float, float], ...], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class TimeChart:
    """A timeline that is read, zoomed and switched; without scripts, its still pictures.

    Attributes:
        name: what it is a timeline of.
        charts: the still pictures, one a metric.
        legend: a sentence on how to read it.
        data: what the script draws from, see ``timeline_data``.
    """

    block: ClassVar[str] = "timechart"

    id: str
    name: str
    charts: tuple[Chart, ...]
    legend: str
    data: dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Charts:
    """Charts side by side, or one wide one, with a sentence on how to read them."""

    block: ClassVar[str] = "charts"

    charts: tuple[Chart, ...]
    legend: str = ""
    wide: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One link of a drawn chain."""

    via: str
    label: str
    type_name: str = ""
    cut: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Chain:
    """A reference chain from its root (first) down to the object (last)."""

    block: ClassVar[str] = "chain"

    root: str
    meaning: str
    steps: tuple[Step, ...]
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Code:
    """A labelled line of code, or of words where there is none."""

    label: str
    place: str
    source: str = ""
    copy: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Card:
    """A leak suspect."""

    number: int
    prefix: str
    title: str
    share: str
    rates: tuple[str, ...]
    prose: str
    codes: tuple[Code, ...]
    stack: tuple[Code, ...]
    chain: Chain | None
    unheld: str
    container: str
    under: Table | None
    freed: str = ""  # what a cut would free
    cut: Table | None = None  # the same by type
    id: str = "suspect"  # with its number, the element's


@dataclasses.dataclass(frozen=True, slots=True)
class Cards:
    """Suspects, one under the other."""

    block: ClassVar[str] = "cards"

    cards: tuple[Card, ...]
    total: int


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """Terms and what they are here."""

    block: ClassVar[str] = "facts"

    facts: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Texts:
    """Sentences as a list, under a heading; ``folded`` ones open on demand."""

    block: ClassVar[str] = "texts"

    title: str
    texts: tuple[str, ...]
    folded: bool = False
    numbered: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """Tables of which one is shown: the reader chooses an older and a newer state.

    Attributes:
        id: the element's.
        label: what is chosen, as ``run``.
        names: key and label of each state, the oldest first.
        tables: the two keys and the table of each pair; the last one is shown at first.
    """

    block: ClassVar[str] = "choice"

    id: str
    label: str
    names: tuple[tuple[str, str], ...]
    tables: tuple[tuple[str, str, Table], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class TreeRow:
    """One row of a tree as it is read without scripts; ``level`` counts from 1."""

    level: int
    via: str
    label: str
    type_name: str
    cells: tuple[Cell, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Tree:
    """The upper levels of the page's heap tree; the script opens all of it from ``Page.heap``."""

    block: ClassVar[str] = "tree"

    id: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[TreeRow, ...]
    note: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class TreemapCell:
    """A placed rectangle; ``texts`` are the lines that have room in it, ``say`` its words in full.

    ``hue`` is the place of its type in the legend from 1, 0 for the other types, -1 for a remainder. ``tone``
    has its place in a difference: ``same``, or ``grew`` or ``shrank`` with a strength from 1 to 5.
    """

    x: float
    y: float
    width: float
    height: float
    hue: int
    say: str
    texts: tuple[str, ...] = ()
    inner: bool = False
    tone: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Treemap:
    """Rectangles of a tree, drawn for a page without scripts; the script's own picture takes their place.

    Attributes:
        summary: the picture in words; ``caption`` in one sentence.
        cells: outer ones first, each before what is inside it.
        legend: hue and type.
        tones: tone and word, for a difference.
        note: what is true of this drawing alone.
        data, view: which of the page's data the script draws (``heap``, ``flame``), and as what.
    """

    block: ClassVar[str] = "treemap"

    id: str
    title: str
    summary: str
    caption: str
    width: int
    height: int
    cells: tuple[TreemapCell, ...]
    legend: tuple[tuple[int, str], ...]
    data: str = "heap"
    view: str = "treemap"
    tones: tuple[tuple[str, str], ...] = ()
    note: str = ""


Block = Table | Charts | TimeChart | Cards | Chain | Facts | Texts | Choice | Tree | Treemap


@dataclasses.dataclass(frozen=True, slots=True)
class Section:
    """A part of the page with its heading."""

    id: str
    title: str
    blocks: tuple[Block, ...]
    intro: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """A part of a report: what stands under one heading.

    Attributes:
        id: the element's.
        title: its heading, empty to go on under the one before.
        texts: paragraphs of prose, before the rest.
        page: what a result's own page says, its ids beginning with this part's.
        table: a table of the author's own.
    """

    id: str
    title: str
    texts: tuple[str, ...]
    page: Page | None
    table: Table | None


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """One result, ready to be set.

    Attributes:
        kind: what the result is, in two words.
        title: the document's title.
        headline: the answer; ``lead`` gives the reason in a sentence.
        brief: the table that a notebook shows where it shows nothing else; None for none.
        height: room for the page inside a notebook, in pixels; 0 when the summary says it all.
        heap: columns of the heap tree that ``Tree`` and ``Treemap`` blocks show (see ``tree_data``).
        flame: columns of the stacks that ``Treemap`` blocks of a flame tree show (see ``flame_data``).
        parts: the pages of other results, of a report that is composed of them.
    """

    kind: str
    title: str
    headline: str
    lead: str
    badge: Badge | None
    figures: tuple[Figure, ...]
    next_steps: tuple[str, ...]
    sections: tuple[Section, ...]
    brief: Table | None
    height: int
    heap: dict[str, Any] | None = None
    flame: dict[str, Any] | None = None
    parts: tuple[Part, ...] = ()

    @property
    def pages(self) -> tuple[Page, ...]:
        """This page and those of its parts."""
        return (self, *(part.page for part in self.parts if part.page is not None))

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Every block on the page, its parts' included, in order."""
        return tuple(block for page in self.pages for section in page.sections for block in section.blocks)

    @property
    def charts(self) -> tuple[Chart, ...]:
        """Every chart on the page, in order."""
        return tuple(chart for block in self.blocks if isinstance(block, Charts) for chart in block.charts)

    @property
    def timecharts(self) -> tuple[TimeChart, ...]:
        """Every living timeline on the page, in order."""
        return tuple(block for block in self.blocks if isinstance(block, TimeChart))


def prefixed(page: Page, prefix: str) -> Page:
    """Return a page whose every element's id begins with ``prefix``, so that several fit in one document."""
    sections = tuple(_with_ids(section, prefix) for section in page.sections)
    return dataclasses.replace(page, sections=sections)


def _with_ids(thing: Any, prefix: str) -> Any:
    if isinstance(thing, tuple):
        return tuple(_with_ids(one, prefix) for one in thing)
    if isinstance(thing, _HOLDERS):
        changed: dict[str, Any] = {
            field.name: _with_ids(getattr(thing, field.name), prefix)
            for field in dataclasses.fields(thing)
            if field.name in _HOLDING
        }
        if hasattr(thing, "id"):
            changed["id"] = prefix + thing.id
        return dataclasses.replace(thing, **changed)
    return thing


_HOLDERS = (Section, Table, Chart, Charts, TimeChart, Choice, Tree, Treemap, Cards, Card)
_HOLDING = {"blocks", "charts", "cards", "tables", "under"}


def type_cell(name: str) -> Cell:
    """Return a cell that shows a type's own name loudly and its module less so."""
    shown = words.type_text(name)
    prefix, dot, last = shown.rpartition(".")
    if not dot or shown.endswith(">"):
        return Cell(shown, prefix="", mono=True)
    return Cell(last, prefix=prefix + dot, mono=True)

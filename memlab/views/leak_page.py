"""A leak report as a page: verdict, key figures, suspects, evidence, everything that rose, how it was run.

The order is that of a reader's questions: is there a leak, how much, what is it and who holds it, how do you
know, what else grew, and can I trust the run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memlab._base.units import format_bytes, format_count, format_seconds, format_signed_bytes
from memlab.records.leak_report import Verdict
from memlab.views import words
from memlab.views.charts import growth_chart
from memlab.views.page import (
    Badge,
    Bar,
    Card,
    Cards,
    Cell,
    Chain,
    Charts,
    Code,
    Column,
    Facts,
    Figure,
    Page,
    Section,
    Step,
    Table,
    Texts,
    type_cell,
)
from memlab.views.time_charts import timeline_chart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from memlab.records.chain import Link, ReferenceChain
    from memlab.records.heap_results import Freed
    from memlab.records.leak_report import ContainerGrowth, GrowthTest, LeakReport, Suspect, TypeGrowth
    from memlab.records.sites import Frame, Site
    from memlab.views.page import Block

__all__ = ["chain_block", "chain_step", "leak_page", "site_cell"]

MOST_ROWS = 25
_MOST_CARDS = 10
_MOST_UNDER = 8
_MOST_CHARTS = 6
_MOST_BRIEF = 5
_MOST_LENGTHS = 6

_TONES = {
    Verdict.LEAK: "bad",
    Verdict.NATIVE_LEAK: "native",
    Verdict.NO_LEAK: "good",
    Verdict.WARMING_UP: "warn",
    Verdict.FRAGMENTATION: "warn",
    Verdict.INCONCLUSIVE: "plain",
}

_LEGEND = (
    "Each point is a reading after a round of iterations, as change since the first tested one. Shaded"
    " stretches are the blocks; the thick steps are the lowest reading in each. A leak lifts every step above"
    " the one before it; noise and spikes do not."
)

_HOW_TO_READ = (
    (
        "An iteration is one call of the step. What it leaves behind is what is still alive after"
        " caches were warm and the collector had run: not what it uses while it runs."
    ),
    (
        "Objects are those that Python's collector tracks; plain strings, numbers and bytes count in"
        " the sizes, not in the number. Shallow size is that of an object alone."
    ),
    (
        "Traced memory is what Python's own allocators handed out, by the line that asked for it. RSS"
        " is what the operating system keeps in memory for the whole process; it moves in pages and"
        " arenas."
    ),
    (
        "A metric grew when the lowest reading of every block lies above that of the block before. If"
        " readings came in random order, that would happen with at most the stated chance. It goes on"
        " when the second half grew too: a cache that fills up does not."
    ),
    (
        "The 95 % interval comes from the differences between blocks. It is an estimate of the rate,"
        " not of the chance that there is a leak."
    ),
    (
        "Held by shows one chain of references from a root, top, to a leaked object, bottom. Cutting"
        " any link of the only chain would let the object go."
    ),
)


def leak_page(report: LeakReport) -> Page:
    """Return the page of a leak report."""
    line = words.headline(report)
    if line.startswith("each "):
        line = "E" + line[1:]
    makers = (_suspects, _evidence, _growth, _run)
    sections = tuple(section for maker in makers if (section := maker(report)) is not None)
    return Page(
        kind="leak report",
        title=f"{report.verdict.value}: {report.step}",
        headline=line,
        lead=words.sentence(report.reason),
        badge=Badge(report.verdict.value, _TONES[report.verdict]),
        figures=_figures(report),
        next_steps=words.next_steps(report),
        sections=sections,
        brief=_brief(report) if report.suspects else _tests_table(report.tests) if report.tests else None,
        height=720,
    )


def chain_block(chain: ReferenceChain) -> Chain:
    """Return a reference chain as it is drawn."""
    steps = [chain_step(link) for link in chain.links]
    if chain.cut:
        steps.insert(len(steps) // 2, Step("", "", cut=chain.cut))
    return Chain(chain.root.value, words.root_sentence(chain.root), tuple(steps), words.chain_text(chain))


def chain_step(link: Link) -> Step:
    """Return a drawn link: a name or a type that its label says already is not said twice."""
    shown, kind = words.link_text(link), words.type_text(link.type_name)
    via = link.via if shown == f"{link.via} {link.label}" else ""
    said = kind in link.label.replace("(", " ").replace(")", " ").split()
    return Step(via, link.label if via else shown, "" if said else kind)


def site_cell(frame: Frame) -> Cell:
    """Return a cell with a line of code, ready to be copied."""
    return Cell(words.place(frame), mono=True, under=frame.source, copy=_spot(frame))


# -- the top of the page


def _figures(report: LeakReport) -> tuple[Figure, ...]:
    objects, size, rss = report.objects_per_iteration, report.bytes_per_iteration, report.test("rss_bytes")
    protocol = report.protocol
    spent = [f"{protocol.warmup:,} to warm up", f"{protocol.rounds:,} rounds of {protocol.per_round:,}"]
    if protocol.traced:
        spent.append(f"{protocol.traced:,} traced")
    return (
        Figure("Objects per iteration", format_count(objects), "tracked by the collector, still alive")
        if objects is not None
        else Figure("Objects per iteration", None, words.absent(report, "objects")),
        Figure("Memory per iteration", format_bytes(size), words.source_words(report.bytes_source))
        if size is not None
        else Figure("Memory per iteration", None, words.absent(report, "bytes")),
        Figure(
            "RSS per iteration",
            words.growth(rss.metric, rss.per_iteration),
            f"95 % interval {words.interval(rss)}",
        )
        if rss is not None
        else Figure("RSS per iteration", None, words.absent(report, "rss_bytes")),
        Figure("Iterations", f"{protocol.iterations:,}", ", ".join(spent)),
        Figure(
            "Time",
            format_seconds(protocol.elapsed_s),
            f"of {format_seconds(protocol.budget_s)} allowed" if protocol.budget_s else "",
        ),
    )


def _brief(report: LeakReport) -> Table:
    rows = []
    for suspect in report.suspects[:_MOST_BRIEF]:
        where = (suspect.site.user or suspect.site.frame) if suspect.site is not None else None
        rows.append(
            (
                type_cell(suspect.type_name),
                Cell(words.suspect_objects(suspect)),
                Cell(format_bytes(suspect.bytes_per_iteration)),
                site_cell(where) if where is not None else Cell("not traced"),
                Cell(words.chain_text(suspect.chain), mono=True)
                if suspect.chain is not None
                else Cell("nothing seen in Python"),
            )
        )
    columns = (
        Column("Suspect"),
        Column("Left per iteration", number=True),
        Column("Memory per iteration", number=True),
        Column("Line"),
        Column("Held by"),
    )
    return Table("brief", "Suspects", columns, tuple(rows), len(report.suspects))


# -- suspects


def _suspects(report: LeakReport) -> Section | None:
    if not report.suspects:
        return None
    shown = report.suspects[:_MOST_CARDS]
    cards = tuple(_card(number, suspect) for number, suspect in enumerate(shown, 1))
    return Section("suspects", "What leaks", (Cards(cards, len(report.suspects)),))


def _card(number: int, suspect: Suspect) -> Card:
    name = type_cell(suspect.type_name)
    return Card(
        number=number,
        prefix=name.prefix or "",
        title=name.text,
        share=f"{suspect.share * 100:.0f} % of what grows",
        rates=(
            words.suspect_objects(suspect),
            f"{format_bytes(suspect.bytes_per_iteration)} per iteration",
        ),
        prose=suspect.prose,
        codes=_codes(suspect),
        stack=tuple(_code("", frame) for frame in suspect.site.frames) if suspect.site is not None else (),
        chain=chain_block(suspect.chain) if suspect.chain is not None else None,
        unheld="" if suspect.chain is not None else "Nothing in Python was seen to hold it.",
        container=_container_text(suspect.container) if suspect.container is not None else "",
        under=_types_table(f"under-{number}", "Left behind under it", suspect.types, _MOST_UNDER)
        if suspect.types
        else None,
        freed=words.freed_sentence(suspect),
        cut=_freed_table(number, suspect.freed)
        if suspect.freed is not None and suspect.freed.contents
        else None,
    )


def _freed_table(number: int, freed: Freed) -> Table:
    columns = (Column("Type"), Column("Objects", number=True), Column("Shallow size", number=True))
    rows = tuple(
        (
            type_cell(t.type_name),
            Cell(f"{t.objects:,}", sort=float(t.objects)),
            Cell(format_bytes(t.shallow_bytes), sort=float(t.shallow_bytes)),
        )
        for t in freed.contents[:_MOST_UNDER]
    )
    return Table(f"freed-{number}", "What would be freed", columns, rows, len(freed.contents))


def _codes(suspect: Suspect) -> tuple[Code, ...]:
    site, entry = suspect.site, suspect.entry
    if site is None:
        codes = [Code("Made at", "not traced: a line is known only for traced allocations")]
    else:
        codes = [_code("Made at" if site.user_frame else "Made at your line", site.frame)]
        if site.user is not None and site.user_frame > 0:
            codes.append(_code("Reached from your line", site.user))
    if entry is not None:
        codes.append(_code("The container's entry is made at", entry.frame))
    return tuple(codes)


def _code(label: str, frame: Frame) -> Code:
    return Code(label, words.place(frame), frame.source, _spot(frame))


def _spot(frame: Frame) -> str:
    return f"{frame.file}:{frame.line}" if frame.line > 0 else frame.file


def _container_text(container: ContainerGrowth) -> str:
    return (
        f"{container.name} ({words.type_text(container.type_name)}): {_lengths(container.lengths)} entries,"
        f" {words.growth('entries', container.entries_per_iteration)} per iteration;"
        f" {words.bound_sentence(container)}."
    )


def _lengths(lengths: tuple[int, ...]) -> str:
    if len(lengths) > _MOST_LENGTHS:
        return f"{lengths[0]:,} → … → {lengths[-1]:,}"
    return " → ".join(f"{n:,}" for n in lengths) or "an unknown number of"


# -- evidence


def _evidence(report: LeakReport) -> Section:
    drawn = [growth_chart(report.series, test, i) for i, test in enumerate(report.tests[:_MOST_CHARTS])]
    charts = tuple(chart for chart in drawn if chart is not None)
    blocks: list[Block] = [Charts(charts, _LEGEND)] if charts else []
    if not report.tests and len(report.series):
        read = [m for m in report.series.metrics if m != "iteration"][:_MOST_CHARTS]
        plain = tuple(timeline_chart(report.series, metric, i) for i, metric in enumerate(read))
        blocks.append(Charts(plain, "What was read until the hunt ended, untested.", wide=True))
    if report.tests:
        blocks.append(_tests_table(report.tests))
    missing = tuple(f"{words.metric_name(k)}: {why}" for k, why in report.series.absent.items())
    if missing:
        blocks.append(Texts("Not read", missing))
    intro = "" if report.tests else "No metric could be tested in this run: there were too few readings."
    return Section("evidence", "The evidence", tuple(blocks), intro)


def _tests_table(tests: tuple[GrowthTest, ...]) -> Table:
    columns = (
        Column("Metric"),
        Column("Per iteration", number=True),
        Column("95 % interval", number=True),
        Column("What it did"),
        Column("By chance, at most", number=True),
        Column("Least it could see", number=True),
    )
    rows = tuple(
        (
            Cell(words.metric_name(test.metric)),
            Cell(
                words.growth(test.metric, test.per_iteration),
                sort=test.per_iteration,
                tone="grew" if test.grew and test.sustained else "",
            ),
            Cell(words.interval(test), sort=test.low),
            Cell(words.test_sentence(test)),
            Cell(words.chance(test.false_positive_bound), sort=test.false_positive_bound),
            Cell(words.least(test), sort=test.least),
        )
        for test in tests
    )
    return Table("tests", "Tests", columns, rows, len(tests))


# -- everything that rose


def _growth(report: LeakReport) -> Section | None:
    blocks = []
    if report.types:
        blocks.append(_types_table("types", "Types", report.types, MOST_ROWS))
    if report.sites:
        blocks.append(_sites_table(report))
    if report.containers:
        blocks.append(_containers_table(report.containers))
    return Section("growth", "Everything that rose", tuple(blocks)) if blocks else None


def _types_table(name: str, caption: str, types: tuple[TypeGrowth, ...], most: int) -> Table:
    columns = (Column("Type"), Column("Objects", number=True), Column("Shallow size", number=True))
    bar = _bars(t.objects_per_iteration for t in types)
    rows = tuple(
        (
            type_cell(t.type_name),
            Cell(
                words.growth("objects", t.objects_per_iteration),
                sort=t.objects_per_iteration,
                bar=bar(t.objects_per_iteration),
            ),
            Cell(format_signed_bytes(t.bytes_per_iteration), sort=t.bytes_per_iteration),
        )
        for t in types[:most]
    )
    return Table(name, f"{caption}, per iteration", columns, rows, len(types))


def _sites_table(report: LeakReport) -> Table:
    columns = (
        Column("Allocating line"),
        Column("Your line"),
        Column("Traced size", number=True),
        Column("Blocks", number=True),
    )
    bar = _bars(s.bytes_per_iteration for s in report.sites)
    rows = tuple(
        (
            site_cell(s.site.frame),
            _user_cell(s.site),
            Cell(
                format_signed_bytes(s.bytes_per_iteration),
                sort=s.bytes_per_iteration,
                bar=bar(s.bytes_per_iteration),
            ),
            Cell(words.growth("blocks", s.blocks_per_iteration), sort=s.blocks_per_iteration),
        )
        for s in report.sites[:MOST_ROWS]
    )
    return Table("sites", "Allocation sites, per iteration", columns, rows, len(report.sites))


def _user_cell(site: Site) -> Cell:
    if site.user is None:
        return Cell("none seen")
    return site_cell(site.user) if site.user_frame else Cell("the same line")


def _containers_table(containers: tuple[ContainerGrowth, ...]) -> Table:
    columns = (
        Column("Container"),
        Column("Type"),
        Column("Entries at each census"),
        Column("Per iteration", number=True),
        Column("Bound"),
    )
    rows = tuple(
        (
            Cell(c.name, mono=True),
            type_cell(c.type_name),
            Cell(_lengths(c.lengths), sort=float(c.lengths[-1]) if c.lengths else None),
            Cell(words.growth("entries", c.entries_per_iteration), sort=c.entries_per_iteration),
            Cell(words.bound_sentence(c)),
        )
        for c in containers[:MOST_ROWS]
    )
    return Table("containers", "Containers that gained entries", columns, rows, len(containers))


def _bars(values: Iterable[float]) -> Callable[[float], Bar]:
    most = max((abs(v) for v in values), default=0.0) or 1.0
    return lambda value: Bar(0.0, round(abs(value) / most * 100, 1), "grew" if value > 0 else "shrank")


# -- how it was run


def _run(report: LeakReport) -> Section:
    protocol = report.protocol
    facts = [
        ("Step", report.step),
        ("Iterations", words.protocol_sentence(protocol)),
        (
            "Tracing",
            f"{protocol.traced:,} iterations, {protocol.traceback_depth:,} frames for each allocation"
            if protocol.traced
            else "none: lines that allocate are not known",
        ),
    ]
    sources = [
        f"{words.metric_name(m)} from {source}"
        for m, source in report.series.sources.items()
        if m != "iteration"
    ]
    if sources:
        facts.append(("Read from", "; ".join(sources)))
    if report.failure is not None:
        facts.append(("The step failed", words.failure_sentence(report.failure)))
    if not report.complete:
        facts.append(("Complete", "no: the hunt ended early, and this is what was seen until then"))
    facts += words.environment_facts(report.environment)
    blocks: list[Block] = [Facts(tuple(facts))]
    if report.notes:
        blocks.append(Texts("Notes and limits", report.notes))
    blocks.append(Texts("How to read this page", _HOW_TO_READ, folded=True))
    return Section("run", "How it was run", tuple(blocks))

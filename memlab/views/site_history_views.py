"""Live memory by line over a recording, in every view: what grew from the first look to the last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memlab._base.units import format_bytes, format_seconds, format_signed_bytes
from memlab.analyses.site_history import line_history
from memlab.errors import UnavailableError
from memlab.records.site_timeline import SiteTimeline
from memlab.views import words
from memlab.views.layout import columns, wrap
from memlab.views.leak_page import site_cell
from memlab.views.page import Cell, Column, Figure, Page, Section, Table, Texts
from memlab.views.palette import HUES, LIGHT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from memlab.records._result import Result
    from memlab.records.snapshot_tables import SiteDiff

__all__ = ["DRAWERS", "PAGES", "RENDERERS", "ROWS", "sites_section", "sites_text"]

_THREADS = 8
_LINES = 10
_MOST_ROWS = 200
_CURVES = ("grew", *HUES[1:], HUES[0])
_MOST_CURVES = 8
_TITLES = ("line", "growth", "size now", "first half", "second half")
_COLUMNS = ("look", "time_s", "file", "line", "function", "size_bytes")


def _grown(sites: SiteTimeline) -> list[SiteDiff]:
    return list(sites.growth().sites[:_MOST_ROWS]) if len(sites) > 1 else []


def _halves(sites: SiteTimeline) -> dict[tuple[str, int], tuple[int, int]]:
    """Return how far each line grew until the look in the middle of the time, and from there on."""
    if len(sites) <= 2:  # noqa: PLR2004 - nothing between the first and the last
        return {}
    half = (float(sites.time_s[0]) + float(sites.time_s[-1])) / 2
    middle = min(max(int(abs(sites.time_s - half).argmin()), 1), len(sites) - 2)
    found: dict[tuple[str, int], tuple[int, int]] = {}
    for place, (since, until) in enumerate(((0, middle), (middle, len(sites) - 1))):
        for site in sites.growth(since=since, until=until).sites:
            key = (site.site.frame.file, site.site.frame.line)
            old = found.get(key, (0, 0))
            found[key] = (site.size_diff_bytes, old[1]) if place == 0 else (old[0], site.size_diff_bytes)
    return found


def _cells(site: SiteDiff, halves: dict[tuple[str, int], tuple[int, int]]) -> tuple[str, str, str, str]:
    of = halves.get((site.site.frame.file, site.site.frame.line))
    first, second = ("-", "-") if of is None else map(format_signed_bytes, of)
    return format_signed_bytes(site.size_diff_bytes), format_bytes(site.size_bytes), first, second


def _headline(sites: SiteTimeline) -> str:
    if not len(sites):
        return "Nobody looked at allocation sites"
    last = sites.snapshot()
    return f"{format_bytes(last.total_bytes)} live by {len(sites):,} looks at allocation sites"


def sites_text(sites: SiteTimeline) -> list[str]:
    """Return the lines that grew most as text."""
    grown = _grown(sites)
    if not grown:
        return []
    halves = _halves(sites)
    rows = [(words.printable(words.place(s.site.frame)), *_cells(s, halves)) for s in grown[:_LINES]]
    lasted = format_seconds(float(sites.time_s[-1] - sites.time_s[0]))
    title = f"Live memory by line, what changed in {lasted} (a block each {format_bytes(sites.sample_bytes)})"
    return ["", *wrap(title, 0, 2), *columns(_TITLES, rows, (False, True, True, True, True))]


def sites_section(sites: SiteTimeline) -> Section:
    """Return the lines that grew most as a section of a page."""
    grown, halves = _grown(sites), _halves(sites)
    rows = tuple(
        (
            site_cell(site.site.frame),
            *(
                Cell(text, sort=float(number))
                for text, number in zip(
                    _cells(site, halves),
                    (
                        site.size_diff_bytes,
                        site.size_bytes,
                        *halves.get((site.site.frame.file, site.site.frame.line), (0, 0)),
                    ),
                    strict=True,
                )
            ),
        )
        for site in grown
    )
    heads = (Column("Line"), *(Column(title.capitalize(), number=True) for title in _TITLES[1:]))
    table = Table("sites", "What changed from the first look to the last", heads, rows, len(rows))
    notes: tuple[Texts, ...] = (Texts("", sites.notes),) if sites.notes else ()
    if sites.threads:
        shown = [words.printable(name, 60) for name in sites.threads[:_THREADS]]
        more = f" and {len(sites.threads) - _THREADS:,} more" if len(sites.threads) > _THREADS else ""
        notes = (Texts("", (f"Threads that allocated: {', '.join(shown)}{more}.",)), *notes)
    intro = f"{len(sites):,} looks, a block sampled each {format_bytes(sites.sample_bytes)} on average."
    return Section("sites-section", "Live memory by line", (table, *notes), intro)


def _text(sites: SiteTimeline) -> str:
    notes = [line for note in sites.notes for line in wrap(f"- {words.printable(note)}", 2, 4)]
    return "\n".join(
        [*wrap(_headline(sites), 0, 2), *sites_text(sites), *(["", "Notes", *notes] if notes else [])]
    )


def _page(sites: SiteTimeline) -> Page:
    lasted = float(sites.time_s[-1] - sites.time_s[0]) if len(sites) else 0.0
    return Page(
        kind="sites over time",
        title="Allocation sites over a recording",
        headline=_headline(sites),
        lead="Estimates from a sample of all blocks; a block counts at the line that allocated it.",
        badge=None,
        figures=(
            Figure("Looks", f"{len(sites):,}", f"in {format_seconds(lasted)}"),
            Figure("Sample", format_bytes(sites.sample_bytes), "from one block to the next, on average"),
        ),
        next_steps=(),
        sections=(sites_section(sites),),
        brief=None,
        height=560,
    )


def _rows(sites: SiteTimeline) -> tuple[tuple[str, ...], Iterator[tuple[Any, ...]]]:
    """Give the lines of every look, greatest first."""

    def rows() -> Iterator[tuple[Any, ...]]:
        for look, moment in enumerate(sites.time_s.tolist()):
            for total in sites.snapshot(look).statistics("line").sites:
                frame = total.site.frame
                yield look, moment, frame.file, frame.line, frame.function, total.size_bytes

    return _COLUMNS, rows()


def _draw(sites: SiteTimeline, axes: Any) -> None:
    if len(sites) < 2:  # noqa: PLR2004 - a line has two ends
        raise UnavailableError("nothing to plot: allocation sites were looked at less than twice")
    frames, history = line_history(sites, _MOST_CURVES)
    for at, (frame, values) in enumerate(zip(frames, history, strict=True)):
        axes.plot(
            sites.time_s,
            values / 2**20,
            color=LIGHT[_CURVES[at % len(_CURVES)]],
            ls="-" if at < len(_CURVES) else "--",
            marker="o",
            ms=2.5,
            lw=1.4,
            label=words.printable(words.place(frame), 48),
        )
    axes.set_xlabel("seconds")
    axes.set_ylabel("live MiB, estimated")
    axes.set_ylim(bottom=0)
    if frames:
        axes.legend(fontsize="small", frameon=False, loc="upper left")
    axes.set_title("Live memory by line, those that changed most", loc="left", fontsize="medium")


RENDERERS: dict[type[Result], Callable[[Any], str]] = {SiteTimeline: _text}
PAGES: dict[type[Result], Callable[[Any], Page]] = {SiteTimeline: _page}
ROWS: dict[type[Result], Callable[[Any], Any]] = {SiteTimeline: _rows}
DRAWERS: dict[type[Result], Callable[[Any, Any], None]] = {SiteTimeline: _draw}

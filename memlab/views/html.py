"""The one place that makes HTML: any result becomes one page that opens offline and asks for nothing.

A record becomes a ``Page`` of plain text (``leak_page``, ``other_pages``); Jinja templates with autoescape
set it. The style sheet and the script are inlined as they lie in ``assets``; a content security policy in the
page allows exactly these bytes, by their hashes, and nothing else: no request, no inline style or handler.
What the script needs lies in an inert JSON block. Text of the measured program passes ``printable`` on its
way into the template, whichever slot it fills. The page depends on the record alone, so a loaded result
gives the same bytes as the live one.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
from functools import lru_cache, singledispatch
from importlib import resources
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from memlab._base.atomic import write_text
from memlab.records.capture import Capture
from memlab.records.capture_comparison import CaptureComparison
from memlab.records.cell_ledger import CellLedger
from memlab.records.chain import Explanation
from memlab.records.flame import FlameTree
from memlab.records.gc_pauses import GcPauses
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
from memlab.records.leak_report import LeakReport
from memlab.records.line_profile import LineProfile
from memlab.records.memit import MemitResult
from memlab.records.pressure import PostMortem, PressureRun
from memlab.records.report import Report
from memlab.records.snapshot import Snapshot
from memlab.records.snapshot_tables import SnapshotDiff, SnapshotTable
from memlab.records.timeline import Timeline
from memlab.views import (
    bench_views,
    capture_page,
    comparison,
    fix_views,
    flame_page,
    gc_views,
    heap_page,
    heap_result_pages,
    other_pages,
    pool_views,
    pressure_page,
    recording_parts,
    site_history_views,
    where_views,
)
from memlab.views.flame_map import flame_block
from memlab.views.heap_map import treemap_block
from memlab.views.leak_page import leak_page
from memlab.views.ledger_page import ledger_page
from memlab.views.line_page import line_page
from memlab.views.palette import LIGHT, tints, tones
from memlab.views.report_page import report_page
from memlab.views.snapshot_table import table_page
from memlab.views.time_charts import timeline_chart
from memlab.views.words import printable

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from memlab.records._result import Result
    from memlab.views.notebook_page import NotebookPage
    from memlab.views.page import Page, Treemap

__all__ = [
    "build_page",
    "embed_json",
    "flame_assets",
    "heap_assets",
    "is_page_script",
    "live_assets",
    "pressure_assets",
    "render_flame",
    "render_index",
    "render_live_still",
    "render_notebook",
    "render_page",
    "render_summary",
    "render_timeline_picture",
    "render_treemap",
    "write_page",
]


@singledispatch
def build_page(result: Result) -> Page:
    """Return what the page of a result says, before it is markup.

    Raises:
        TypeError: when ``result`` is no result of memlab's.
    """
    raise TypeError(f"cannot show a {type(result).__name__}: it is no result of memlab's")


build_page.register(LeakReport, leak_page)
build_page.register(Explanation, other_pages.explanation_page)
build_page.register(Snapshot, flame_page.snapshot_page)
build_page.register(SnapshotDiff, flame_page.diff_page)
build_page.register(FlameTree, flame_page.flame_page)
build_page.register(SnapshotTable, table_page)
build_page.register(Capture, capture_page.capture_page)
build_page.register(Timeline, capture_page.timeline_page)
build_page.register(CaptureComparison, comparison.comparison_page)
build_page.register(SnapshotTable, table_page)
build_page.register(GcPauses, recording_parts.pauses_page)
build_page.register(MemitResult, other_pages.memit_page)
build_page.register(CellLedger, ledger_page)
build_page.register(LineProfile, line_page)
build_page.register(HeapGraph, heap_page.heap_page)
build_page.register(HeapTree, heap_page.tree_page)
build_page.register(HeapCensus, heap_page.census_page)
build_page.register(HeapSuspects, heap_result_pages.suspects_page)
build_page.register(HeapCycles, heap_result_pages.cycles_page)
build_page.register(HeapDuplicates, heap_result_pages.duplicates_page)
build_page.register(HeapOwners, heap_result_pages.owners_page)
build_page.register(Freed, heap_result_pages.freed_page)
build_page.register(HeapDiff, heap_result_pages.heap_diff_page)
build_page.register(HeapHoldings, heap_result_pages.holdings_page)
for _kind, _page in (
    *pool_views.PAGES.items(),
    *gc_views.PAGES.items(),
    *where_views.PAGES.items(),
    *site_history_views.PAGES.items(),
    *fix_views.PAGES.items(),
    *bench_views.PAGES.items(),
):
    build_page.register(_kind, _page)
build_page.register(PressureRun, pressure_page.pressure_page)
build_page.register(PostMortem, pressure_page.post_mortem_page)


build_page.register(Report, lambda report: report_page(report, build_page))


def render_page(result: Result) -> str:
    """Return a result as one self-contained HTML page.

    The page needs no network and no script to be read; with scripts, its tables sort and filter and its
    charts can be read point by point.

    Raises:
        TypeError: when ``result`` is no result of memlab's.

    Example:
        >>> from memlab.records.memit import MemitResult
        >>> page = render_page(MemitResult((3 * 2**20,), 2**20))
        >>> page.startswith("<!doctype html>"), "3.00 MiB" in page
        (True, True)
    """
    return _render(build_page(result))


def _render(page: Page) -> str:
    script, style = _assets(
        "report",
        *_HEAP * any(one.heap is not None for one in page.pages),
        *_FLAME * any(one.flame is not None for one in page.pages),
        *_TIMELINE * bool(page.timecharts),
    )
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data:;"
        " base-uri 'none'; form-action 'none'"
    )
    data: dict[str, Any] = {
        "charts": {
            chart.id: {"x": [x for x, _ in chart.line], "y": [y for _, y in chart.line], "say": chart.say}
            for chart in page.charts
        }
    }
    if page.timecharts:
        data["timelines"] = {block.id: block.data for block in page.timecharts}
    data |= _drawn(page)
    if page.parts:
        data["parts"] = {part.id: _drawn(part.page) for part in page.parts if part.page is not None}
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            page=page,
            policy=policy,
            style=Markup(style),  # noqa: S704 - our own asset, and the policy's hash is of these bytes
            script=Markup(script),  # noqa: S704 - the same
            data=embed_json(data),
        )
    )


def _drawn(page: Page) -> dict[str, Any]:
    """Return what a page's own heap tree and stacks are drawn from."""
    held = {"heap": page.heap, "flame": page.flame}
    return {name: columns for name, columns in held.items() if columns is not None}


def render_summary(result: Result) -> str:
    """Return what a notebook shows: a plain summary that survives sanitising, then the page in a frame.

    JupyterLab takes frames, scripts and styles out of a notebook that is not trusted; the summary's tables
    stay. A result that the summary tells whole has no frame.
    """
    page = build_page(result)
    inner = _render(page) if page.height else ""
    return _environment().get_template("summary.html.j2").render(page=page, inner=inner)


def render_notebook(page: NotebookPage, *, up: str = "", network: bool = False) -> str:
    """Return a notebook as one page in which no script runs but memlab's own, in frames as outside them.

    Args:
        page: what is shown, its markup clean.
        up: a relative address of the list of all notebooks.
        network: whether its pictures may come from elsewhere.
    """
    script, style = _assets("report", "notebook")
    # A page within the page is held to this policy and to its own: it needs the scripts of both.
    scripts = " ".join(f"'{_hash(one)}'" for one in dict.fromkeys((script, *_page_scripts())))
    pictures = "data: http: https:" if network else "data:"
    policy = (
        f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src {pictures};"
        " base-uri 'none'; form-action 'none'"
    )
    count = itertools.count(1)
    return _environment().get_template("notebook.html.j2").render(
        page=page, up=up, policy=policy, style=Markup(style), script=Markup(script),  # noqa: S704 - our own
        data=embed_json({"charts": {}}), cells={"next": lambda: next(count)},
    )  # fmt: skip


def render_index(title: str, entries: Sequence[Mapping[str, str]]) -> str:
    """Return a page that lists others: each entry has ``href``, ``title``, ``text`` and ``note``."""
    script, style = _assets("report", "notebook")
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data:;"
        " base-uri 'none'; form-action 'none'"
    )
    return _environment().get_template("index.html.j2").render(
        title=title, entries=entries, policy=policy, style=Markup(style), script=Markup(script),  # noqa: S704
        data=embed_json({"charts": {}}),
    )  # fmt: skip


def is_page_script(script: str) -> bool:
    """Tell whether a script is that of a result's page, to the letter."""
    return script in _page_scripts()


@lru_cache(maxsize=1)
def _page_scripts() -> tuple[str, ...]:
    """Return the scripts that a result's page may have, in every combination of its parts."""
    parts = itertools.product(((), _HEAP), ((), _FLAME), ((), _TIMELINE))
    return tuple(_assets("report", *heap, *flame, *time)[0] for heap, flame, time in parts)


def render_treemap(tree: HeapTree) -> str:
    """Return the treemap of a heap tree as one SVG picture: light, static, complete in itself."""
    return _picture(treemap_block(tree))


def render_flame(tree: FlameTree) -> str:
    """Return the flame graph of a tree as one SVG picture: light, static, complete in itself."""
    return _picture(flame_block(tree, most=3_000))


def _picture(block: Treemap) -> str:
    hues: dict[int | str, str] = dict(enumerate(tints(LIGHT))) | {-1: LIGHT["sunken"]} | tones(LIGHT)
    edges = {"": LIGHT["muted"], "same": LIGHT["line"], "grew": LIGHT["grew"], "shra": LIGHT["shrank"]}
    picture = _environment().get_template("treemap.svg.j2")
    return picture.render(block=block, colors=LIGHT, hues=hues, edges=edges)


def heap_assets() -> tuple[str, str]:
    """Return the script and the style sheet that draw a heap tree, as a widget takes them."""
    script, style = _assets(*_HEAP)
    return script + "export default { render: renderHeap };\n", style


def render_timeline_picture(capture: Capture) -> str:
    """Return a recording's RSS as one SVG picture: light, static, complete; empty without samples."""
    if not len(capture.timeline.metrics.get("rss_bytes", ())):
        return ""
    inks = (LIGHT["native"], LIGHT["good"], LIGHT["accent"])
    chart = timeline_chart(capture.timeline, "rss_bytes", 0, capture)
    return _environment().get_template("timeline.svg.j2").render(chart=chart, colors=LIGHT, inks=inks)


def render_live_still(capture: Capture, figures: Mapping[str, Any], at: str) -> str:
    """Return what a saved notebook keeps of a live view: its figures as a table, and a still picture.

    Args:
        capture: what was recorded until now.
        figures: the words of ``live_data.live_figures``.
        at: the time of day.
    """
    picture = Markup(render_timeline_picture(capture))  # noqa: S704 - our own template's, escaped there
    return _environment().get_template("live.html.j2").render(figures=figures, picture=picture, at=at)


def live_assets() -> tuple[str, str]:
    """Return the script and the style sheet of the live widget: the report's timeline, and what feeds it."""
    return _assets(*_TIMELINE, "live")


def flame_assets() -> tuple[str, str]:
    """Return the script and the style sheet that draw a flame tree, as a widget takes them."""
    script, style = _assets(*_FLAME)
    return script + "export default { render: renderFlame };\n", style


def pressure_assets() -> tuple[str, str]:
    """Return the script and the style sheet of the pressure widget."""
    return _asset("pressure.js"), _asset("pressure.css")


def write_page(page: str, path: str | os.PathLike[str]) -> None:
    """Write a page as UTF-8; the file appears whole or not at all.

    Raises:
        UsageError: when the folder is missing or cannot be written.
    """
    write_text(path, page)


def embed_json(data: Mapping[str, Any]) -> Markup:
    r"""Return data as JSON that may stand inside a script element, whatever its texts hold.

    >>> str(embed_json({"name": "</script>\u2028&"}))
    '{"name":"\\u003c/script\\u003e\\u2028\\u0026"}'
    """
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)  # noqa: S704 - the letters that could end the element are gone


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["made"] = _made
    environment.filters["lines"] = _lines
    return environment


def _made(markup: str) -> Markup:
    """Let markup pass that ``notebook_page`` has cleaned."""
    return Markup(markup)  # noqa: S704 - the one way for it


def _lines(text: str) -> Markup:
    """Make a text of several lines safe to show as it stands."""
    return Markup("\n").join(printable(line, _LONGEST_LINE) for line in text.split("\n"))


def _finalize(value: object) -> object:
    """Make every text that a template prints safe to show; markup of our own passes."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _template(name: str) -> str:
    return (resources.files("memlab.views") / "templates" / name).read_text(encoding="utf-8")


_HEAP = ("units", "treemap", "heap")
_FLAME = ("units", "treemap", "flame")
_TIMELINE = ("units", "timeline")


def _assets(*names: str) -> tuple[str, str]:
    """Return the script and the style sheet of some parts, each once, in their order."""
    once = list(dict.fromkeys(names))
    script = "".join(_asset(f"{name}.js") for name in once if name not in _WITHOUT_SCRIPT)
    return script, "".join(_asset(f"{name}.css") for name in once if name not in _WITHOUT_STYLE)


_WITHOUT_STYLE = {"units"}
_WITHOUT_SCRIPT = {"notebook"}
_LONGEST_LINE = 4_000


@lru_cache(maxsize=32)
def _asset(name: str) -> str:
    return (resources.files("memlab.views") / "assets" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"

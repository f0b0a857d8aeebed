"""The dominator tree and the treemap of a heap as a widget that opens level by level.

The script is that of the HTML page (``memlab/views/assets/heap.js``), and it draws from the widget's synced
state alone: a saved notebook shows the same without a kernel. Beside the widget every output keeps the text,
the page and a static picture, for where there are no widgets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memlab.errors import MissingExtraError
from memlab.faces.ipython.own_layout import OwnLayout
from memlab.records.heap_graph import HeapGraph
from memlab.views.heap_words import tree_headline
from memlab.views.html import heap_assets, render_summary, render_treemap
from memlab.views.palette import DARK, LIGHT
from memlab.views.text import render_text
from memlab.views.tree_data import tree_columns

if TYPE_CHECKING:
    from anywidget import AnyWidget

    from memlab.records.heap_results import HeapTree

__all__ = ["heap_widget", "widget_colors"]


def heap_widget(heap: HeapGraph | HeapTree) -> AnyWidget:
    """Return a widget that shows what keeps what alive, as a tree and as a treemap.

    Args:
        heap: a heap graph, or a dominator tree of one (``graph.dominator_tree(rows=10_000)`` shows more). The
            widget keeps the tree's rows as text and numbers, never the graph.

    Raises:
        MissingExtraError: when anywidget is not installed.
    """
    try:
        import anywidget
        import traitlets
    except ImportError:
        raise MissingExtraError.needs("a heap widget", "anywidget", "notebook") from None

    tree = heap.dominator_tree() if isinstance(heap, HeapGraph) else heap
    script, style = heap_assets()

    class HeapWidget(OwnLayout, anywidget.AnyWidget):
        """Dominator tree and treemap, drawn from ``heap`` alone."""

        _esm = script
        _css = style_sheet(style)
        heap = traitlets.Dict().tag(sync=True)
        heading = traitlets.Unicode().tag(sync=True)

        def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
            bundle, metadata = super()._repr_mimebundle_(**options) or ({}, {})
            return {**bundle, **still_views(tree)}, metadata

    return HeapWidget(heap=tree_columns(tree), heading=tree_headline(tree))


def still_views(tree: HeapTree) -> dict[str, str]:
    """Return what a notebook shows of a tree where it has no widgets."""
    return {
        "text/plain": render_text(tree),
        "text/html": render_summary(tree),
        "image/svg+xml": render_treemap(tree),
    }


def widget_colors(name: str) -> str:
    """Return the rules that give a widget of one class memlab's colours and fonts, in the notebook's theme.

    JupyterLab says on the body whether its theme is light; elsewhere the system's choice holds.
    """
    colors = "".join(f"--{color}: light-dark({LIGHT[color]}, {DARK[color]}); " for color in LIGHT)
    return f"""{name} {{ color-scheme: light dark; {colors}--sans: system-ui, sans-serif;
  --mono: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font: 14px/1.5 var(--sans); color: var(--ink); background: var(--surface); padding: 8px 12px; }}
body[data-jp-theme-light="true"] {name} {{ color-scheme: light; }}
body[data-jp-theme-light="false"] {name} {{ color-scheme: dark; }}"""


def style_sheet(style: str) -> str:
    """Return the widget's style: the page's rules, under its own class, in the notebook's theme."""
    return f"""
{widget_colors(".memlab-heap")}
.memlab-heap {{
  p, ul, ol {{ margin: 0; }}
  .heading {{ font-weight: 650; }}
  .treemap {{ margin-top: 6px; }}
  .readout {{ font-size: .85em; color: var(--muted); margin-top: 4px; }}
  .unseen {{ position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }}
  .mono {{ font-family: var(--mono); font-size: .92em; }}
  .scroll {{ overflow: auto; max-height: 480px; margin-top: 12px; border: 1px solid var(--line); }}
  .tree {{ border-collapse: collapse; width: 100%; margin: 0; font-size: .92em; }}
  .tree th, .tree td {{ text-align: start; padding: 5px 14px; border: 0; border-top: 1px solid var(--line); }}
  .tree thead th {{ position: sticky; top: 0; z-index: 1; background: var(--sunken); color: var(--muted); }}
  .tree .number {{ text-align: end; font-variant-numeric: tabular-nums; white-space: nowrap; }}
  .tree tbody tr, .tree tbody tr:nth-child(odd) {{ background: var(--surface); }}
  .tree tbody tr:hover {{ background: var(--sunken); }}
  {style}
}}
"""

"""Flame graph and treemap as a widget, and ``explore``, which takes the widget of any result that has one.

As the heap's widget: the script is that of the HTML page (``memlab/views/assets/flame.js``), it draws from
the synced state alone, and every output keeps the text, the page and a static picture beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memlab.errors import MissingExtraError, UsageError
from memlab.faces.ipython.heap_widget import heap_widget, style_sheet
from memlab.faces.ipython.own_layout import OwnLayout
from memlab.records.flame import FlameTree
from memlab.records.heap_graph import HeapGraph
from memlab.records.heap_results import HeapTree
from memlab.records.snapshot import Snapshot
from memlab.records.snapshot_tables import SnapshotDiff
from memlab.views.flame_data import flame_columns
from memlab.views.flame_map import legend_of
from memlab.views.flame_words import growth_headline
from memlab.views.html import flame_assets, render_flame, render_summary
from memlab.views.text import render_text

if TYPE_CHECKING:
    from anywidget import AnyWidget

    from memlab.records._result import Result

__all__ = ["explore", "flame_widget"]


def explore(result: Snapshot | SnapshotDiff | FlameTree | HeapGraph | HeapTree) -> AnyWidget:
    """Return a widget for a notebook in which a result can be looked through.

    Args:
        result: a snapshot, a difference or a flame tree opens as a flame graph with a treemap; a heap graph
            or a dominator tree as a tree with a treemap. The widget keeps text and numbers, never the result.

    Raises:
        MissingExtraError: when anywidget is not installed.
        UsageError: when there is no widget for this kind of result; display the result itself then.
    """
    if isinstance(result, (HeapGraph, HeapTree)):
        return heap_widget(result)
    if isinstance(result, (Snapshot, SnapshotDiff, FlameTree)):
        return flame_widget(result)
    kind = getattr(result, "kind", type(result).__name__)
    raise UsageError(
        f"exploring a result: there is no widget for a {kind}; display it, or write its page with to_html()"
    )


def flame_widget(result: Snapshot | SnapshotDiff | FlameTree) -> AnyWidget:
    """Return a widget that shows stacks as a flame graph, and places as a treemap.

    Raises:
        MissingExtraError: when anywidget is not installed.
        UsageError: when a difference keeps no stacks.
    """
    try:
        import anywidget
        import traitlets
    except ImportError:
        raise MissingExtraError.needs("a flame graph widget", "anywidget", "notebook") from None

    tree = result if isinstance(result, FlameTree) else result.flame()
    views = still_views(result, tree)
    script, style = flame_assets()

    class FlameWidget(OwnLayout, anywidget.AnyWidget):
        """Flame graph and treemap, drawn from ``flame`` alone."""

        _esm = script
        _css = style_sheet(style)
        flame = traitlets.Dict().tag(sync=True)
        legend: Any = traitlets.List().tag(sync=True)
        heading = traitlets.Unicode().tag(sync=True)

        def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
            bundle, metadata = super()._repr_mimebundle_(**options) or ({}, {})
            return {**bundle, **views}, metadata

    return FlameWidget(
        flame=flame_columns(tree),
        legend=[list(entry) for entry in legend_of(tree)],
        heading=growth_headline(tree),
    )


def still_views(result: Result, tree: FlameTree) -> dict[str, str]:
    """Return what a notebook shows of a result where it has no widgets."""
    return {
        "text/plain": render_text(result),
        "text/html": render_summary(result),
        "image/svg+xml": render_flame(tree),
    }

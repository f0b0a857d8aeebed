"""A result in a notebook: its text, and HTML whose plain tables stay where scripts and frames do not.

JupyterLab removes frames, scripts, styles and SVG from the outputs of a notebook that it does not trust and
does not fall back to the text. So the tables come first and tell the result by themselves; the whole page
follows in a sandboxed frame, made from text, without a server or a path that could break.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memlab.views.html import render_summary
from memlab.views.text import render_text

if TYPE_CHECKING:
    from memlab.records._result import Result

__all__ = ["mimebundle"]


def mimebundle(result: Result) -> dict[str, str]:
    """Return what ``_repr_mimebundle_`` gives to Jupyter: ``text/plain`` and ``text/html``.

    Raises:
        TypeError: when ``result`` is no result of memlab's.

    Example:
        >>> from memlab.records.memit import MemitResult
        >>> sorted(mimebundle(MemitResult((3 * 2**20,), 2**20)))
        ['text/html', 'text/plain']
    """
    return {"text/plain": render_text(result), "text/html": render_summary(result)}

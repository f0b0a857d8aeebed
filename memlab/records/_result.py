"""What every result can do: be shown, tabulated, plotted, saved and compared.

A record knows nothing of files or pages. These methods are conveniences which call the floor that does,
late, so that a record can be made and tested without any of them. This is the one place where a lower
floor names a higher one; the import contracts list each of these imports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from memlab.records import codec

if TYPE_CHECKING:
    import os

    from matplotlib.axes import Axes
    from pandas import DataFrame

__all__ = ["Result"]


class Result:
    """Base of every result. A result is frozen, holds no measured object, and outlives its process."""

    __slots__ = ()
    kind: ClassVar[str]

    def to_dict(self) -> dict[str, Any]:
        """Return plain builtins, ready for ``json.dumps``: arrays become lists, sizes are bytes."""
        return codec.to_plain(self)

    def to_frame(self) -> DataFrame:
        """Return the table that matters most in this result (needs pandas: ``memlab[notebook]``)."""
        from memlab.views.tables import to_frame

        return to_frame(self)

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return the result as one HTML page that opens offline; with ``path``, write it there as well."""
        from memlab.views.html import render_page, write_page

        page = render_page(self)
        if path is not None:
            write_page(page, path)
        return page

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the picture that matters most on ``ax``, or a new one, and return it (needs matplotlib)."""
        from memlab.views.plots import plot

        return plot(self, ax)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a capture file that ``memlab.load`` gives back as an equal value.

        The file appears whole or not at all.
        """
        from memlab.store.capture_file import save

        save(self, path)

    def __str__(self) -> str:
        from memlab.views.text import render_text

        return render_text(self)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:  # noqa: ARG002
        from memlab.views.notebook import mimebundle

        return mimebundle(self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ARG002 - IPython's protocol
        printer.text(str(self))

    @classmethod
    def _from_encoded(cls, encoded: codec.Encoded) -> Self:
        return codec.decode(cls, encoded)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return codec.equal(codec.encode(self), codec.encode(other))

    __hash__ = None  # type: ignore[assignment]  # arrays inside: a value, not a key

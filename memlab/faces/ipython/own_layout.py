"""A widget that, when it is closed, closes the layout that was made with it too.

ipywidgets gives each widget a ``Layout``, itself a widget in the registry of all, and leaves it there when
the widget is closed: a few KiB for each, until the kernel ends.
"""

from __future__ import annotations

from typing import Any

__all__ = ["OwnLayout"]


class OwnLayout:
    """Mixed in before the widget's class."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._made_with_it: Any = self.layout  # type: ignore[attr-defined]

    def close(self) -> None:
        """Close the widget and the layout it was made with; one that it was given later is left alone."""
        super().close()  # type: ignore[misc]
        layout, self._made_with_it = getattr(self, "_made_with_it", None), None
        if layout is not None:
            layout.close()

"""What an HTML page would load from elsewhere, told without opening it.

Looks where a browser looks by itself: attributes that load, style sheets, module imports and requests in
scripts, and the pages inside ``srcdoc``. A link that a reader may click is not among them, nor is text.
Scripts are searched for literal addresses; one that is put together at run time is not found.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

__all__ = ["loaded_by"]

_LOADING = {"src", "srcset", "poster", "data", "background", "xlink:href", "code", "archive", "manifest"}
_LINKS = {"a", "area", "base"}
_INSIDE = ("data:", "blob:", "about:", "javascript:", "#")
_CSS = re.compile(r"""(?:url\(\s*|@import\s+)["']?\s*([^"')\s;]+)""", re.IGNORECASE)
_SCRIPT = re.compile(
    r"""(?:\bimport\s*\(?|\bfrom|\bfetch\s*\(|importScripts\s*\(|\.src\s*=|\.href\s*=|\.open\s*\(\s*["'][A-Z]+["']\s*,)"""
    r"""\s*["'`]((?:https?:)?//[^"'`]+)["'`]"""
)
_SCRIPT_TYPES = {"", "module", "text/javascript", "application/javascript"}


def loaded_by(page: str) -> list[str]:
    """Return the addresses that a page loads when it is opened, in order.

    >>> loaded_by('<img src="data:image/png;base64,AA=="><a href="https://example.org">more</a>')
    []
    >>> loaded_by('<script src="https://cdn.example/x.js"></script><style>a{background:url(b.png)}</style>')
    ['https://cdn.example/x.js', 'b.png']
    """
    finder = _Finder()
    finder.feed(page)
    finder.close()
    return finder.found


class _Finder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        for name, value in values.items():
            if name in _LOADING and not (name == "data" and tag != "object"):
                self._note(*(_of_set(value) if name == "srcset" else [value]))
            elif name == "href" and tag not in _LINKS:
                self._note(value)
            elif name == "style":
                self._note(*_CSS.findall(value))
            elif name == "srcdoc":
                self.found += loaded_by(value)
        if tag == "style":
            self._inside = "style"
        elif tag == "script" and values.get("type", "").lower() in _SCRIPT_TYPES:
            self._inside = "script"

    def handle_endtag(self, tag: str) -> None:
        if tag in ("style", "script"):
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "style":
            self._note(*_CSS.findall(data))
        elif self._inside == "script":
            self._note(*_SCRIPT.findall(data))

    def _note(self, *addresses: str) -> None:
        for address in addresses:
            stripped = address.strip()
            if stripped and not stripped.lower().startswith(_INSIDE):
                self.found.append(stripped)


def _of_set(value: str) -> list[str]:
    if value.lstrip().startswith("data:"):
        return []
    return [part.split()[0] for part in value.split(",") if part.split()]

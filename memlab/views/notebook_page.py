"""A notebook's cells as safe markup for one page: Markdown, code and outputs.

Whoever wrote the notebook is not trusted: Markdown is rendered and then cleaned, and so is an output's HTML,
down to a list of elements and attributes in which no script, handler, form or style sheet is. A frame stays
only as a sandboxed page within the page; which scripts run there the page's policy says, by their hashes.
Other outputs become text or a picture. mistune, Pygments and bleach come with nbconvert.
"""

from __future__ import annotations

import base64
import dataclasses
import html
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from memlab.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["CellPart", "NotebookPage", "OutputPart", "notebook_page"]

MOST_TEXT = 40_000
_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b.")
_STYLES = re.compile(
    r"<(style|script|noscript|template|object|embed)\b.*?(?:</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL
)
_SCRIPT = re.compile(r"<script\b", re.IGNORECASE)
_PICTURES = {"png": "png", "jpg": "jpeg", "jpeg": "jpeg", "gif": "gif", "webp": "webp", "svg": "svg+xml"}
_LOCAL = re.compile(r"(?![a-z][a-z0-9+.-]*:|/|\\|#)[^?#]+\.(\w+)$", re.IGNORECASE)
_SCRIPT_GONE = "A script was left out: a page that is handed on runs none but memlab's own, of this version."
# What a summary says to a notebook that is not trusted; in an exported page the frame below is there.
_UNTRUSTED = re.compile(r"<details><summary>No page below\?</summary>.*?</details>\s*", re.DOTALL)


@dataclasses.dataclass(frozen=True, slots=True)
class OutputPart:
    """One output. ``markup`` is clean HTML; else ``picture`` is a data address, else ``text`` is shown.

    ``tone`` is ``error`` or ``stderr`` for text of that kind; ``note`` says what was left out.
    """

    text: str = ""
    tone: str = ""
    markup: str = ""
    picture: str = ""
    note: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class CellPart:
    """One cell: ``markup`` of a Markdown cell, or ``source`` (markup too), ``count`` and ``outputs``."""

    markup: str = ""
    source: str = ""
    count: int | None = None
    outputs: tuple[OutputPart, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class NotebookPage:
    """A notebook, ready to be set.

    Attributes:
        title: its first heading, else its name; ``headed`` says that the cells hold that heading.
        contents: id and text of each heading of the second level.
        cells: what is shown, in order.
    """

    title: str
    headed: bool
    contents: tuple[tuple[str, str], ...]
    cells: tuple[CellPart, ...]


def notebook_page(
    document: Mapping[str, Any],
    name: str,
    *,
    show_input: bool = True,
    picture: Callable[[str], bytes | None] | None = None,
    is_ours: Callable[[str], bool] = lambda _: False,
) -> NotebookPage:
    """Return a notebook's cells as safe markup.

    Args:
        document: a notebook of format 4, as plain data.
        name: shown where it has no heading.
        show_input: whether the code is shown.
        picture: gives the bytes of a picture that Markdown names by a relative path, None for none.
        is_ours: tells whether a script is memlab's own; in the page of a frame only such a one is kept.

    Raises:
        MissingExtraError: when mistune, Pygments or bleach is not installed.
    """
    maker = _Maker(document, picture or (lambda _: None), is_ours)
    cells = tuple(
        one for cell in document.get("cells", ()) if (one := maker.cell(cell, show_input)) is not None
    )
    return NotebookPage(maker.title or name, bool(maker.title), tuple(maker.contents), cells)


class _Maker:
    """Renders the cells of one notebook and keeps its headings."""

    def __init__(
        self,
        document: Mapping[str, Any],
        picture: Callable[[str], bytes | None],
        is_ours: Callable[[str], bool],
    ) -> None:
        try:
            import bleach
            import bleach.css_sanitizer  # noqa: F401 - needs tinycss2
            import mistune
            import pygments  # noqa: F401 - looked for here, used below
        except ImportError:
            raise MissingExtraError.needs("the export of notebooks", "nbconvert", "notebook") from None
        self.title = ""
        self.contents: list[tuple[str, str]] = []
        self._picture = picture
        self._attachments: Mapping[str, Any] = {}
        metadata = document.get("metadata", {})
        self._language = metadata.get("language_info", {}).get("pygments_lexer", "ipython3")
        self._markdown = mistune.create_markdown(renderer=_renderer(self), plugins=["table", "strikethrough"])
        self._foreign: list[str] = []
        self._clean = _cleaner(is_ours, self._foreign)

    def cell(self, cell: Mapping[str, Any], show_input: bool) -> CellPart | None:
        source = _joined(cell.get("source", ""))
        if cell.get("cell_type") == "markdown":
            self._attachments = cell.get("attachments", {})
            return CellPart(markup=self.clean(str(self._markdown(source))))
        if cell.get("cell_type") != "code":
            return None
        outputs = tuple(part for one in cell.get("outputs", ()) for part in self.output(one))
        shown = highlighted(source, self._language) if show_input and source.strip() else ""
        if not shown and not outputs:
            return None
        return CellPart(source=shown, count=cell.get("execution_count"), outputs=outputs)

    def clean(self, markup: str) -> str:
        return str(self._clean.clean(_STYLES.sub("", markup)))

    def output(self, output: Mapping[str, Any]) -> list[OutputPart]:
        kind = output.get("output_type")
        if kind == "stream":
            tone = "stderr" if output.get("name") == "stderr" else ""
            return [OutputPart(text=_plain(_joined(output.get("text", ""))), tone=tone)]
        if kind == "error":
            return [OutputPart(text=_plain("\n".join(output.get("traceback", ()))), tone="error")]
        return self._shown({name: _joined(value) for name, value in output.get("data", {}).items()})

    def _shown(self, data: Mapping[str, Any]) -> list[OutputPart]:
        """Show the richest form that a page without scripts can show."""
        if "text/html" in data:
            gone = _SCRIPT.search(data["text/html"])
            self._foreign.clear()
            markup = self.clean(_UNTRUSTED.sub("", data["text/html"]))
            return [OutputPart(markup=markup, note=_SCRIPT_GONE if gone or self._foreign else "")]
        if "text/markdown" in data:
            return [OutputPart(markup=self.clean(str(self._markdown(data["text/markdown"]))))]
        for kind in ("png", "jpeg", "gif", "webp"):
            if f"image/{kind}" in data:
                coded = re.sub(r"[^A-Za-z0-9+/=]", "", data[f"image/{kind}"])
                text = _plain(data.get("text/plain", "")) or "A picture"
                return [OutputPart(picture=f"data:image/{kind};base64,{coded}", text=text)]
        if "image/svg+xml" in data:
            return [OutputPart(picture=_address(data["image/svg+xml"].encode(), "svg+xml"), text="A picture")]
        if "application/javascript" in data and "text/plain" not in data:
            return [OutputPart(note=_SCRIPT_GONE)]
        text = _plain(data.get("text/plain", "") or data.get("text/latex", ""))
        return [OutputPart(text=text)] if text.strip() else []

    def heading(self, markup: str, level: int) -> str:
        text = html.unescape(re.sub(r"<[^>]*>", "", markup)).strip()
        if level == 1 and not self.title:
            self.title = text
            return f"<h1>{markup}</h1>\n"
        level = max(level, 2)
        at = f"section-{len(self.contents) + 1}"
        if level == 2:  # noqa: PLR2004 - the level that the table of contents shows
            self.contents.append((at, text))
            return f'<h2 id="{at}" tabindex="-1">{markup}</h2>\n'
        return f"<h{level}>{markup}</h{level}>\n"

    def image(self, text: str, address: str) -> str:
        """Return a picture that is in the page; one from elsewhere keeps its address, refused later."""
        attached = self._attachments.get(address.removeprefix("attachment:"), {})
        local = _LOCAL.match(address)
        if address.startswith("attachment:"):
            kind, coded = next(iter(attached.items()), ("image/png", ""))
            address = f"data:{kind};base64,{_joined(coded)}"
        elif local is not None and local[1].lower() in _PICTURES:
            content = self._picture(unquote(address))
            if content is not None:
                address = _address(content, _PICTURES[local[1].lower()])
        return f'<img src="{html.escape(address)}" alt="{html.escape(text or "A picture")}">'


def _renderer(maker: _Maker) -> Any:
    import mistune

    class Renderer(mistune.HTMLRenderer):
        def __init__(self) -> None:
            super().__init__(escape=False)

        def heading(self, text: str, level: int, **_attributes: Any) -> str:
            return maker.heading(text, level)

        def image(self, text: str, url: str, title: str | None = None) -> str:  # noqa: ARG002 - mistune's
            return maker.image(text, url)

        def block_code(self, code: str, info: str | None = None) -> str:
            language = (info or "").split(" ")[0]
            return f'<pre class="code"><code>{highlighted(code, language)}</code></pre>\n'

    return Renderer()


def highlighted(code: str, language: str) -> str:
    """Return code as markup with Pygments' short class names; plain where the language is not known."""
    import pygments
    from pygments.formatters.html import HtmlFormatter
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        lexer = get_lexer_by_name(language or "text")
    except ClassNotFound:
        lexer = get_lexer_by_name("text")
    return str(pygments.highlight(code, lexer, HtmlFormatter(nowrap=True))).rstrip("\n")


def _address(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _joined(text: Any) -> Any:
    return "".join(text) if isinstance(text, list) else text


def _plain(text: str) -> str:
    text = _ANSI.sub("", text)
    text = re.sub(r"[^\n]*\r(?!\n)", "", text)  # a progress bar keeps its last state
    return (
        text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}\n… {len(text) - MOST_TEXT:,} more characters"
    )


# -- what may stand in a page

_TAGS = frozenset(
    """a abbr b blockquote br caption cite code col colgroup dd del details div dl dt em figcaption figure
    h1 h2 h3 h4 h5 h6 hr i iframe img ins kbd li mark ol p pre q s samp section small span strong sub summary
    sup table tbody td tfoot th thead time tr u ul var wbr svg g path rect line polyline polygon circle
    ellipse text tspan title desc""".split()  # noqa: SIM905 - a list to read
)
_EVERY = {"class", "title", "lang", "dir", "role", "colspan", "rowspan", "scope", "style", "tabindex"}
_DRAWN = frozenset(
    """viewBox x y x1 y1 x2 y2 cx cy r rx ry d points fill stroke stroke-width stroke-dasharray
    stroke-linejoin stroke-linecap fill-opacity stroke-opacity opacity transform text-anchor font-size
    font-family font-weight preserveAspectRatio dominant-baseline""".split()  # noqa: SIM905 - the same
)
_OF_TAG = {
    "a": {"href"},
    "h2": {"id"},
    "img": {"src", "alt", "width", "height"},
    "iframe": {"srcdoc", "width", "height", "allow"},
    "details": {"open"},
    "ol": {"start"},
    "time": {"datetime"},
    "svg": {"width", "height"},
    "rect": {"width", "height"},
    "td": {"align"},
    "th": {"align"},
}
_STYLE = frozenset(
    """color background-color border border-collapse border-color border-radius border-style border-width
    display float font-family font-size font-style font-variant font-weight gap grid-template-columns height
    letter-spacing line-height margin margin-bottom margin-left margin-right margin-top max-height max-width
    min-height min-width opacity overflow overflow-x overflow-y padding padding-bottom padding-left
    padding-right padding-top resize text-align text-decoration text-transform vertical-align white-space
    width fill stroke stroke-width""".split()  # noqa: SIM905 - the same
)


def _allowed(tag: str, name: str, value: str) -> bool:
    if name == "href" and re.sub(r"[\x00-\x20]", "", value).lower().startswith("data:"):
        return False
    if name in _OF_TAG.get(tag, ()):
        return name != "allow" or value == "clipboard-write"
    return name in _EVERY or name.startswith("aria-") or name in _DRAWN


_HELD = re.compile(r"<script\b([^>]*)>(.*?)</script\s*>", re.IGNORECASE | re.DOTALL)


def _cleaner(is_ours: Callable[[str], bool], foreign: list[str]) -> Any:
    import warnings

    from bleach.css_sanitizer import CSSSanitizer
    from bleach.html5lib_shim import Filter
    from bleach.sanitizer import Cleaner

    def kept(script: re.Match[str]) -> str:
        inert = "application/json" in script[1]
        if inert or is_ours(script[2]):
            return script[0]
        foreign.append(script[2])  # another version's, or somebody else's
        return ""

    class Sandbox(Filter):  # type: ignore[misc]
        """Put every frame into a sandbox; it shows the page within it and no other."""

        def __iter__(self) -> Any:
            for token in super().__iter__():
                if token.get("name") == "iframe" and token["type"] in ("StartTag", "EmptyTag"):
                    held = token["data"]
                    before = html.unescape(held.get((None, "srcdoc"), ""))  # bleach leaves entities alone
                    after = _HELD.sub(kept, before)
                    if after != before or (None, "srcdoc") not in held:
                        held[None, "srcdoc"] = html.escape(after)
                    held[None, "sandbox"] = "allow-scripts"
                    held.setdefault((None, "title"), "A page within the page")
                yield token

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Cleaner(
            tags=_TAGS,
            attributes=_allowed,
            protocols={"http", "https", "mailto", "data"},
            strip=True,
            css_sanitizer=CSSSanitizer(allowed_css_properties=_STYLE, allowed_svg_properties=_STYLE),
            filters=[Sandbox],
        )

"""A notebook as one HTML page that loads nothing, and a folder of them with a list.

nbconvert's own page asks three content networks for scripts, shows a widget as nothing at all when they do
not answer, and runs whatever script an output brought. Here a widget is shown by the HTML beside it, else by
its text, and the cells become markup in ``views/notebook_page.py``, which cleans them. Then the finished page
is searched for whatever it would still load. It appears whole or not at all.
"""

from __future__ import annotations

import dataclasses
import os
import re
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memlab._base.atomic import write_text
from memlab._base.safety import clean
from memlab._base.units import format_bytes
from memlab.errors import MissingExtraError, UnavailableError, UsageError
from memlab.faces.loaded import loaded_by
from memlab.faces.outputs import check_writable, refuse_same
from memlab.views.html import is_page_script, render_index, render_notebook
from memlab.views.notebook_page import notebook_page

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Exported", "export_all", "export_notebook", "static_outputs"]

WIDGET = "application/vnd.jupyter.widget-view+json"
CONTROL = "interactive control: open the notebook to use it"
CELL_TIMEOUT_S = 600
MOST_PAGE = 2 * 1024 * 1024
MOST_PICTURE = 2 * 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Exported:
    """A page that was written: where, its title, its first words, its size in bytes."""

    path: Path
    title: str
    text: str
    size_bytes: int


def export_notebook(
    notebook: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    execute: bool = False,
    show_input: bool = True,
    allow_network: bool = False,
    up: str = "",
    progress: Callable[[str, float], None] | None = None,
) -> Exported:
    """Write a notebook as one HTML page.

    Args:
        notebook: an ``.ipynb`` file; it is read and never changed.
        out: the page.
        execute: False shows the outputs that are stored in the file; True runs all cells first, in a
            kernel of its own whose folder is the notebook's.
        show_input: whether the code is in the page.
        allow_network: write the page even if it would load pictures; scripts never run.
        up: a relative address of a list of notebooks, for a link.
        progress: called with a stage and the part that is done, 0 to 1.

    Raises:
        UsageError: when the file is no notebook, a cell raises, the page would load something, or it
            cannot be written.
        MissingExtraError: when nbconvert is not installed.
        UnavailableError: when the kernel does not start.

    Returns:
        Where the page is, what it is called, and its size.
    """
    path = Path(notebook)
    refuse_same(path, out, "the page would overwrite the notebook")
    with warnings.catch_warnings():
        # Of nbformat and its parts, about notebooks of older versions: nothing that a reader can act on.
        warnings.simplefilter("ignore")
        document = _read(path)
        check_writable(out)
        if execute:
            _execute(document, path, progress or _silent)
        shown = notebook_page(
            static_outputs(document),
            path.stem,
            show_input=show_input,
            picture=_beside(path.absolute().parent),
            is_ours=is_page_script,
        )
        page = render_notebook(shown, up=up, network=allow_network)
    loaded = loaded_by(page)
    if loaded and not allow_network:
        raise UsageError(
            f"the page would load other files: {len(loaded)}, the first is {clean(loaded[0])}; "
            "embed them in the notebook, or add --allow-network"
        )
    write_text(out, page)
    return Exported(Path(out), shown.title, _first_words(document), len(page.encode()))


def export_all(
    notebooks: Sequence[str | os.PathLike[str]],
    folder: str | os.PathLike[str],
    *,
    progress: Callable[[str, float], None] | None = None,
    **options: bool,
) -> list[Exported]:
    """Write several notebooks into a folder, each as its own page, and ``index.html``, which lists them.

    Args:
        notebooks: the files; no two may have the same name.
        folder: made when it is not there.
        progress: called with a stage and the part that is done, 0 to 1.
        options: those of ``export_notebook``.

    Raises:
        UsageError: as ``export_notebook``; what was written before stays.
    """
    paths = [Path(path) for path in notebooks]
    names = [path.stem for path in paths]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None or "index" in names:
        raise UsageError(f"two pages would have the name {twice or 'index'}.html; rename a notebook")
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {folder}: {error.strerror}") from None
    made = []
    for number, path in enumerate(paths):

        def tell(stage: str, done: float, number: int = number, path: Path = path) -> None:
            if progress is not None:
                progress(f"{path.name}: {stage}", (number + done) / len(paths))

        out = target / f"{path.stem}.html"
        made.append(export_notebook(path, out, up="index.html", progress=tell, **options))
    entries = [
        {"href": one.path.name, "title": one.title, "text": one.text, "note": format_bytes(one.size_bytes)}
        for one in made
    ]
    write_text(target / "index.html", render_index("Notebooks", entries))
    return made


def static_outputs(document: Any) -> Any:
    """Give each output with a widget its static form, and leave out the widgets' state."""
    document.metadata.pop("widgets", None)
    for cell in document.cells:
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if data.pop(WIDGET, None) is not None and "text/html" not in data:
                text = data.get("text/plain", "")
                data.clear()
                data["text/plain"] = f"{text}\n({CONTROL})".lstrip()
    return document


def _read(path: Path) -> Any:
    try:
        import nbformat
    except ImportError:
        raise MissingExtraError.needs("the export of notebooks", "nbconvert", "notebook") from None
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"no file {path}") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'no text'}") from None
    try:
        read: Any = nbformat.reads  # nbformat and nbconvert carry no types
        document = read(text, as_version=4)
        nbformat.validate(document)
    except Exception as error:  # noqa: BLE001 - nbformat raises what its parts raise: json, keys, types
        first = (str(error).strip().splitlines() or [""])[0]
        raise UsageError(f"{path} is no notebook: {clean(first)}") from None
    return document


def _execute(document: Any, path: Path, progress: Callable[[str, float], None]) -> None:
    try:
        from jupyter_client.kernelspec import NoSuchKernel
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
        from traitlets.config import Config
    except ImportError:
        raise MissingExtraError.needs("--execute", "nbclient", "notebook") from None
    count = len(document.cells)

    def begins(cell: Any, cell_index: int) -> None:  # noqa: ARG001 - nbclient names its arguments
        progress(f"cell {cell_index + 1} of {count}", cell_index / count)

    def run(config: Config) -> None:
        client = NotebookClient(
            document,
            timeout=CELL_TIMEOUT_S,
            resources={"metadata": {"path": str(path.absolute().parent)}},
            on_cell_start=begins,
            config=config,
        )
        _run(client)

    try:
        with tempfile.TemporaryDirectory(prefix="memlab-") as folder:
            # Sockets in a folder of their own: no port that others could reach, and no warning about one.
            # Without the name they would lie in the current folder, which is not the kernel's.
            sockets = {"transport": "ipc", "ip": str(Path(folder) / "kernel")}
            run(Config({"KernelManager": sockets if os.name == "posix" else {}}))
    except CellExecutionError as error:
        at, told = _failed_cell(document)
        said = clean(told or f"{error.ename}: {error.evalue}")
        raise UsageError(f"cell {at} of {path} raised {said} (its own exception); nothing written") from None
    except CellTimeoutError:
        raise UsageError(f"a cell of {path} ran longer than {CELL_TIMEOUT_S} s; nothing written") from None
    except DeadKernelError:
        raise UsageError(f"the kernel died while {path} ran; nothing written") from None
    except RuntimeError as error:  # what jupyter_client raises when a kernel does not answer
        raise UnavailableError(f"{path} was not run, its kernel did not start: {clean(str(error))}") from None
    except NoSuchKernel as error:
        raise UsageError(f"{path} asks for the kernel {error.name!r}, which is not installed") from None


def _run(client: Any) -> None:
    try:
        client.execute()
    except AssertionError:
        if client.km is None:  # it takes SIGINT and SIGTERM itself, ends the kernel, and then misses it
            raise KeyboardInterrupt from None
        raise


def _failed_cell(document: Any) -> tuple[int, str]:
    """Return the position of the cell that holds an error, from 1, and the error in a line.

    The kernel's answer does not know an error of a display: it says ``NoneType: None``.
    """
    for at, cell in enumerate(document.cells, 1):
        for output in cell.get("outputs", ()):
            if output.get("output_type") == "error":
                return at, f"{output.get('ename')}: {output.get('evalue')}"
    return 0, ""


def _beside(folder: Path) -> Callable[[str], bytes | None]:
    """Return what reads a picture that a notebook names by a relative path."""

    def read(name: str) -> bytes | None:
        place = folder / name
        try:
            return place.read_bytes() if place.stat().st_size <= MOST_PICTURE else None
        except (OSError, ValueError):
            return None

    return read


def _first_words(document: Any) -> str:
    """Return the first paragraph of a notebook's prose that is no heading, as plain text."""
    for cell in document.cells:
        if cell.cell_type == "markdown":
            for part in re.split(r"\n\s*\n", cell.source):
                text = re.sub(r"[*_`]|\]\([^)]*\)|\[", "", " ".join(part.split()))
                if text and not text.startswith(("#", "|", "```", "<", "!", "- ")):
                    return text
    return ""


def _silent(stage: str, done: float) -> None:
    """Take no notice."""

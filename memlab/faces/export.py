"""A notebook as one HTML page that loads nothing: nbconvert, without the parts it takes from the network.

nbconvert's own page asks three content networks for scripts, and shows a widget as nothing at all when
they do not answer. Here the addresses are empty, an output that has HTML beside its widget shows the HTML,
any other widget its text; then the finished page is searched for whatever it would still load. It appears
whole or not at all.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memlab._base.atomic import write_text
from memlab._base.safety import clean
from memlab.errors import MissingExtraError, UnavailableError, UsageError
from memlab.faces.loaded import loaded_by
from memlab.faces.outputs import check_writable, refuse_same

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["export_notebook", "static_outputs"]

WIDGET = "application/vnd.jupyter.widget-view+json"
CONTROL = "interactive control: open the notebook to use it"
CELL_TIMEOUT_S = 600
_ADDRESSES = (
    "require_js_url",
    "mathjax_url",
    "mermaid_js_url",
    "mermaid_layout_elk_js_url",
    "jquery_url",
    "jupyter_widgets_base_url",
    "widget_renderer_url",
)


def export_notebook(
    notebook: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    execute: bool = False,
    show_input: bool = True,
    allow_network: bool = False,
    progress: Callable[[str, float], None] | None = None,
) -> None:
    """Write a notebook as one HTML page.

    Args:
        notebook: an ``.ipynb`` file; it is read and never changed.
        out: the page.
        execute: False shows the outputs that are stored in the file; True runs all cells first, in a
            kernel of its own whose folder is the notebook's.
        show_input: whether the code is in the page.
        allow_network: write the page even if it would load something.
        progress: called with a stage and the part that is done, 0 to 1.

    Raises:
        UsageError: when the file is no notebook, a cell raises, the page would load something, or it
            cannot be written.
        MissingExtraError: when nbconvert is not installed.
        UnavailableError: when the kernel does not start.
    """
    path = Path(notebook)
    refuse_same(path, out, "the page would overwrite the notebook")
    with warnings.catch_warnings():
        # Of nbformat and nbconvert, about notebooks of older versions: nothing that a reader can act on.
        warnings.simplefilter("ignore")
        document = _read(path)
        check_writable(out)
        if execute:
            _execute(document, path, progress or _silent)
        page = _convert(static_outputs(document), path, show_input=show_input)
    loaded = loaded_by(page)
    if loaded and not allow_network:
        raise UsageError(
            f"the page would load other files: {len(loaded)}, the first is {clean(loaded[0])}; "
            "embed them in the notebook, or add --allow-network"
        )
    write_text(out, page)


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
        NotebookClient(
            document,
            timeout=CELL_TIMEOUT_S,
            resources={"metadata": {"path": str(path.absolute().parent)}},
            on_cell_start=begins,
            config=config,
        ).execute()

    try:
        with tempfile.TemporaryDirectory(prefix="memlab-") as folder:
            # Sockets in a folder of their own: no port that others could reach, and no warning about one.
            # Without the name they would lie in the current folder, which is not the kernel's.
            sockets = {"transport": "ipc", "ip": str(Path(folder) / "kernel")}
            run(Config({"KernelManager": sockets if os.name == "posix" else {}}))
    except CellExecutionError as error:
        at = _failed_cell(document)
        said = clean(f"{error.ename}: {error.evalue}")
        raise UsageError(f"cell {at} of {path} raised {said} (its own exception); nothing written") from None
    except CellTimeoutError:
        raise UsageError(f"a cell of {path} ran longer than {CELL_TIMEOUT_S} s; nothing written") from None
    except DeadKernelError:
        raise UsageError(f"the kernel died while {path} ran; nothing written") from None
    except RuntimeError as error:  # what jupyter_client raises when a kernel does not answer
        raise UnavailableError(f"{path} was not run, its kernel did not start: {clean(str(error))}") from None
    except NoSuchKernel as error:
        raise UsageError(f"{path} asks for the kernel {error.name!r}, which is not installed") from None


def _failed_cell(document: Any) -> int:
    """Return the position of the cell that holds an error, from 1."""
    for at, cell in enumerate(document.cells, 1):
        if any(output.get("output_type") == "error" for output in cell.get("outputs", ())):
            return at
    return 0


def _convert(document: Any, path: Path, *, show_input: bool) -> str:
    try:
        from nbconvert import HTMLExporter
    except ImportError:
        raise MissingExtraError.needs("the export of notebooks", "nbconvert", "notebook") from None
    make: Any = HTMLExporter
    exporter = make(template_name="lab", embed_images=True, exclude_input=not show_input)
    for name in _ADDRESSES:
        if exporter.has_trait(name):
            setattr(exporter, name, "")
    resources = {"metadata": {"name": path.stem, "path": str(path.absolute().parent)}}
    page, _ = exporter.from_notebook_node(document, resources)
    return str(page)


def _silent(stage: str, done: float) -> None:
    """Take no notice."""

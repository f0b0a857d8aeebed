"""``memlab lab``: JupyterLab in the folder of notebooks."""

from __future__ import annotations

import importlib.util
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from memlab.errors import MissingExtraError, UsageError
from memlab.faces.cli.parser import describe

if TYPE_CHECKING:
    import argparse
    import subprocess

    from memlab.faces.cli.console import Console

__all__ = ["HELP", "TEXTS", "add_arguments", "run"]

HELP = "open JupyterLab on the notebooks"
TEXTS = describe(
    "Start JupyterLab in DIR, with this Python. What follows -- goes to JupyterLab.",
    "memlab lab notebooks -- --no-browser --port=8890",
    "exit codes:\n  2    bad use, or JupyterLab is not installed\n  else JupyterLab's own",
)
FOLDER = "notebooks"
_SIGNALLED = 128


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("folder", metavar="DIR", nargs="?", help=f"default: ./{FOLDER}")
    parser.add_argument("options", metavar="-- OPTION", nargs="*", help="options of JupyterLab")


def run(args: argparse.Namespace, console: Console) -> int:
    """Start JupyterLab, wait for its end, pass on its exit code."""
    folder, options = args.folder, list(args.options)
    if folder is not None and folder.startswith("-"):  # only options: argparse gave the first to DIR
        folder, options = None, [folder, *options]
    path = Path(folder or FOLDER)
    if not path.is_dir():
        remedy = "name one" if folder else "name one, for example: memlab lab ."
        raise UsageError(f"no folder {str(path)!r} here: {remedy}")
    if importlib.util.find_spec("jupyterlab") is None:
        raise MissingExtraError.needs("memlab lab", "jupyterlab", "notebook")
    import subprocess

    console.flush()
    # -P: a notebook folder may hold a json.py, which is not meant for the server
    command = [sys.executable, "-P", "-m", "jupyterlab", *options]
    with subprocess.Popen(command, cwd=path) as server:  # noqa: S603 - the user's own options
        code = _wait(server)
    return code if code >= 0 else _SIGNALLED - code


def _wait(server: subprocess.Popen[bytes]) -> int:
    """Wait through Ctrl-C: the terminal sends it to JupyterLab too, which asks what to do with it."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return server.wait()
    finally:
        signal.signal(signal.SIGINT, before)

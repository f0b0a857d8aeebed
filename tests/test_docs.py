"""What the documentation says runs: its code blocks, its commands, its links, and every docstring's example.

Blocks marked ``python`` or ``ipython`` of one page are run in order in one shell of its own process, in a
folder where ``shop`` of data/service can be imported. Lines of ``console`` blocks are parsed by the real
parser and looked up in the Makefile; they are not run.
"""

from __future__ import annotations

import contextlib
import doctest
import importlib
import json
import os
import pkgutil
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import memlab

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "data").rglob("*.md")])
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|<img[^>]*src=\"([^\"]+)\"")
# Programs that a page may name without this project having to prove that they exist.
FOREIGN = {"cd", "git", "pip", "python", "python3", "conda", "sqlite3", "sudo", "apt"}

RUNNER = """
import json, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
config = Config()
config.HistoryManager.enabled = False
shell = InteractiveShell.instance(config=config)
for number, block in enumerate(json.load(sys.stdin), 1):
    if not shell.run_cell(block).success:
        sys.exit(f"block {number} failed:\\n{block}")
"""

pytestmark = pytest.mark.usefixtures("unwinder")  # memray keeps a pipe from the first C stack on


def name(path):
    return str(path.relative_to(ROOT))


def blocks(path, *kinds):
    return [text for kind, text in BLOCK.findall(path.read_text(encoding="utf-8")) if kind in kinds]


WITH_CODE = [page for page in PAGES if blocks(page, "python", "ipython")]
WITH_COMMANDS = [page for page in PAGES if blocks(page, "console")]
MODULES = sorted(
    {"memlab", *(m.name for m in pkgutil.walk_packages(memlab.__path__, "memlab."))} - {"memlab.__main__"}
)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("page", WITH_CODE, ids=name)
def test_code_blocks_run(page, tmp_path):
    """Every Python and IPython block of a page runs, in order, after the one before it."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT / "data" / "service"),
        "IPYTHONDIR": str(tmp_path / ".ipython"),
        "MPLBACKEND": "agg",
    }
    result = subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=json.dumps(blocks(page, "python", "ipython")),
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name)
def test_commands_exist(page):
    """Every command of a page is a make target, a memlab command with options that it has, or well known."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for block in blocks(page, "console"):
        for line in re.findall(r"^\$ (.*)$", block, re.MULTILINE):
            words = [w for w in shlex.split(line, comments=True) if "=" not in w or w.startswith("-")]
            program, arguments = words[0], words[1:]
            if program == "make":
                for target in arguments:
                    assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), line
            elif program == "memlab":
                assert_parses(arguments)
            elif program.startswith((".venv/bin/", "./", ".ci/")):
                assert program.startswith(".venv/bin/") or (ROOT / program).is_file(), line
            else:
                assert program in FOREIGN, line


def assert_parses(arguments):
    """The real parser takes a command line, and would leave if it did not; nothing is run."""
    from memlab.faces import cli

    parser = cli._build()[0]
    with contextlib.ExitStack() as stack:
        if "--help" in arguments or "--version" in arguments:
            stack.enter_context(pytest.raises(SystemExit, match="0"))
        parser.parse_args(arguments)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    """Every relative link and picture of a page is there, down to the heading it names."""
    for groups in LINK.findall(page.read_text(encoding="utf-8")):
        target = groups[0] or groups[1]
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        found = (page.parent / file).resolve() if file else page
        assert found.exists(), f"{name(page)} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", found.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", h).strip().lower().replace(" ", "-") for h in headings}
            assert anchor in slugs, f"{name(page)} links to {target}"


@pytest.mark.parametrize("module", MODULES)
def test_docstring_examples_run(module):
    """Every example in a module's docstrings gives what it says."""
    try:
        loaded = importlib.import_module(module)
    except ImportError as error:
        if (error.name or "memlab").startswith("memlab"):
            raise
        pytest.skip(f"needs {error.name}")
    result = doctest.testmod(loaded, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def test_enough_is_documented():
    """The guides exist, and every public function and every command is named in one of them."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    functions = [n for n in memlab.__all__ if n.islower() and not n.startswith("_")]
    assert [n for n in functions if f"memlab.{n}" not in text] == []
    from memlab.faces.cli import COMMANDS

    assert [command for command in COMMANDS if f"memlab {command}" not in text] == []

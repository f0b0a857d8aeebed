"""No secret, path or repr leaves by default: 65 are planted, and all that a program can hand on is read.

The program of kit/secretive.py is started by each face (as a script, under ``memlab run``, ``leaks``,
``profile`` and ``watch``, in an IPython shell), with secrets in the command line, the environment and the
folders above it too. Every file, page, table, notebook output, error and log line is searched, packed columns
as loaded. What the program prints itself is its own.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys

import pytest
from kit import secretive

import memlab

# Told by the interpreter, not by memlab: a name of the machine can be planted from within only.
SITE = """
import os, platform, socket
name = os.environ["SECRET_HOST"]
socket.gethostname = platform.node = lambda: name
told = os.uname()
os.uname = lambda: os.uname_result((told.sysname, name, told.release, told.version, told.machine))
"""

SHELL = """
import json, os, sys
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
kept = []
for cell in json.load(open(sys.argv[1])):
    with capture_output() as shown:
        result = shell.run_cell(cell, store_history=True)
    if cell.startswith("%"):  # what a plain cell shows is the user's own
        assert result.success, (cell, shown.stdout, result.error_in_exec)
        kept.append([cell.split()[0], shown.stdout, shown.stderr, [dict(out.data) for out in shown.outputs]])
print(json.dumps(kept, default=str))
"""

COMMANDS = {
    "run": ["run", "-o", "of-run/x.memlab", "app.py"],
    "leaks": ["leaks", "app:step", "--budget", "3", "--iterations", "40", "--report", "of-leaks/x.html"],
    "failing step": ["leaks", "app:fails"],
    "profile": ["profile", "script.py"],
    "gc": ["gc", "--recommend", "script.py", "--rounds", "1"],
}
CODES = {"leaks": 1, "failing step": 2}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A project in a folder with a secret name, and the secrets that are planted in and around it."""
    secrets = {}
    secretive.plant(" ".join(f"@{what}@" for what in secretive.OUTSIDE), secrets)
    project = tmp_path_factory.mktemp("base") / secrets["folder above"] / "project"
    (project / "out").mkdir(parents=True)
    (project / "app.py").write_text(secretive.plant(secretive.APP, secrets))
    (project / "program.py").write_text(secretive.PROGRAM)
    (project / "script.py").write_text("import app\n\nfor _ in range(50):\n    app.step()\n")
    cells = [secretive.plant(cell, secrets) for cell in secretive.CELLS]
    if os.environ.get("MEMLAB_LONG") != "1":
        cells.remove("%heap")  # its page is the dearest of all; `%%heapdiff` walks the heap too
    (project / "cells.json").write_text(json.dumps(cells))
    site = project.parent / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SITE)
    home = project.parent / secrets["home folder"]
    home.mkdir()
    environment = os.environ | {
        "HOME": str(home),
        "USER": secrets["user name"],
        "LOGNAME": secrets["user name"],
        "SECRET_HOST": secrets["host name"],
        "SECRET_ARGUMENT": secrets["argument"],
        "SECRET_VALUE": secrets["environment value"],
        secrets["environment name"]: "1",
        "PYTHONPATH": os.pathsep.join([str(site), str(project)]),
        "MPLBACKEND": "agg",
    }
    return project, environment, secrets


def forms(secret):
    """How a text may be written: as it is, by its bytes, in base64 at any offset (ends left out)."""
    yield secret
    yield secret.encode().hex()
    for shift in range(3):
        text = base64.b64encode(bytes(shift) + secret.encode()).decode().rstrip("=")
        yield text[shift + 1 if shift else 0 : -2]


MARKS = tuple(forms(secretive.MARK))


def found_in(text, secrets):
    digits = re.sub(r"[,_ ]", "", text)
    found = []
    if any(mark in text for mark in MARKS):  # nearly never: then each in turn
        found = [what for what, secret in secrets.items() if any(form in text for form in forms(secret))]
        found = found or ["a secret"]
    return found + (["number"] if "9137042001" in digits else [])


def assert_kept(texts, secrets):
    told = {name: found for name, text in texts.items() if (found := found_in(text, secrets))}
    assert told == {}


def written(folder):
    """Every file below a folder as text: a capture's columns as loaded too."""
    texts = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            texts[name] = name + path.read_bytes().decode("utf-8", "replace")
            if path.suffix == ".memlab":
                texts[f"{name} loaded"] = json.dumps(memlab.load(path).to_dict())
    return texts


def run(place, *command, code=0):
    project, environment, _ = place
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout[-2000:] + done.stderr[-3000:]
    return done


def test_the_search_can_find(place):
    """At least sixty secrets, no two alike, and each is found in the program's own text or surroundings."""
    project, environment, secrets = place
    assert len(secrets) >= 60
    assert len(set(secrets.values())) == len(secrets)
    everything = (project / "app.py").read_text() + str(environment) + (project / "cells.json").read_text()
    assert set(found_in(everything, secrets)) == {*secrets, "number"}
    assert found_in(base64.b64encode(b"?" + secrets["repr"].encode() + b"..").decode(), secrets) == ["repr"]
    assert found_in("9,137,042,001", secrets) == ["number"]


@pytest.mark.timeout(300)
def test_no_record_capture_report_or_log_holds_a_secret(place):
    """Each result of each collector, as text, page, notebook bundle, dictionary, table and file."""
    project, _, secrets = place
    done = run(place, "program.py", "out")
    texts = written(project / "out")
    assert len(texts) > 90
    assert_kept({**texts, "stdout": done.stdout, "stderr": done.stderr}, secrets)


def test_no_cell_of_a_notebook_tells_a_secret(place):
    """What the magics print and show, of cells that are full of secrets."""
    _, _, secrets = place
    done = run(place, "-c", SHELL, "cells.json")
    shown = json.loads(done.stdout.splitlines()[-1])
    assert len(shown) >= 9
    assert_kept({f"{n} {cell[0]}": json.dumps(cell) for n, cell in enumerate(shown)}, secrets)


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_tells_a_secret(place, name):
    """What the commands print and write; a step that raises a secret included."""
    project, _, secrets = place
    (project / f"of-{name}").mkdir()
    done = run(place, "-m", "memlab", *COMMANDS[name], code=CODES.get(name, 0))
    texts = written(project / f"of-{name}")
    # The text of an exception is in no file; the line in the terminal has it, as Python's own would.
    said = done.stderr.replace(secrets["exception str"], "") if name == "failing step" else done.stderr
    assert_kept({"stdout": done.stdout, "stderr": said, **texts}, secrets)

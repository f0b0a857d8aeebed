"""Wrong input of each kind, to the program as it is run: one clear line, exit code 2, never a traceback."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

FILES = {
    "app.py": "x = 3\ndef step():\n    pass\ndef fails():\n    raise KeyError('gone')\n",
    "broken.py": "import json\n\njson.loads('{')\n",
    "syntax.py": "def step(:\n    pass\n",
    "leaves.py": "import sys\nsys.exit('no configuration')\n",
    "text.memlab": "no capture at all\n",
    "empty.memlab": "",
    "a.ipynb": "{}",
    "raising.ipynb": json.dumps(
        {
            "cells": [
                {"cell_type": "code", "source": "1", "metadata": {}, "outputs": [], "execution_count": None},
                {
                    "cell_type": "code",
                    "source": "{}['key']",
                    "metadata": {},
                    "outputs": [],
                    "execution_count": None,
                },
            ],
            "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
            "nbformat": 4,
            "nbformat_minor": 4,
        }
    ),
}

WRONG = {
    "no such module": (["leaks", "no_such_module:step"], "no module 'no_such_module'"),
    "no such file": (["leaks", "gone.py:step"], "no file gone.py"),
    "no such function": (["leaks", "app:stepp"], "app has no 'stepp'; did you mean 'step'?"),
    "no callable": (["leaks", "app:x"], "app:x must be something to call without arguments, not an int"),
    "no function named": (["leaks", "app"], "'app' names no function"),
    "module that raises": (["leaks", "broken:step"], "raised json.decoder.JSONDecodeError at broken.py:3"),
    "module that is no Python": (["leaks", "syntax.py:step"], "raised SyntaxError at syntax.py:1"),
    "module that leaves": (["leaks", "leaves:step"], "raised SystemExit at leaves.py:2: no configuration"),
    "step that raises": (
        ["leaks", "app:fails"],
        "raised KeyError ('gone') in iteration 1 at app.py:5",
    ),
    "wrong number": (["leaks", "app:step", "--budget", "-1"], "budget_s must be between"),
    "no number": (["leaks", "app:step", "--iterations", "many"], "invalid int value: 'many'"),
    "unwritable": (["leaks", "app:step", "--save", "no/folder/x"], "cannot write no/folder/x"),
    "file that is not there": (["show", "gone.memlab"], "gone.memlab"),
    "file that is no capture": (["show", "text.memlab"], "text.memlab"),
    "empty file": (["show", "empty.memlab"], "empty.memlab"),
    "folder": (["show", "."], "."),
    "report of no capture": (["report", "text.memlab", "-o", "x.html"], "text.memlab"),
    "no notebook": (["export", "a.ipynb"], "a.ipynb is no notebook"),
    "notebook that raises": (
        ["export", "raising.ipynb", "--execute"],
        "cell 2 of raising.ipynb raised Key",
    ),
    "unknown command": (["shwo"], "did you mean 'memlab show'?"),
    "unknown option": (["show", "--yaml", "text.memlab"], "memlab show: no option '--yaml'"),
}
# The same, in this process: sooner.
ALSO_WRONG = {
    "too much": (["convert", "a", "b", "c"], "memlab convert: nothing to do with 'c'; memlab convert --help"),
    "no folder": (["lab", "gone"], "no folder 'gone'"),
    "heap of no script": (["heap", "gone.py"], "memlab heap: there is no script gone.py"),
    "run of no script": (["run", "gone.py"], "memlab run: there is no script gone.py"),
    "no interval": (["run", "--interval", "0", "app.py"], "a number of seconds above 0, not '0'"),
    "no process": (["attach", "4194303"], "there is no process 4194303"),
    "no number of a process": (["attach", "abc"], "the number of a process, not 'abc'"),
    "difference of no captures": (["diff", "text.memlab", "gone.memlab"], "text.memlab is no memlab capture"),
    "profile of no script": (["profile", "gone.py"], "memlab profile: there is no script gone.py"),
    "settings for no script": (["gc", "--recommend", "gone.py"], "there is no script gone.py"),
    "memory of no script": (["where", "gone.py"], "memlab where: there is no script gone.py"),
    "no scenario": (["pressure", "spiek"], "did you mean 'spike'?"),
    "no size": (["pressure", "spike", "--budget", "lots"], "write it like '24 MiB'"),
    "no such cache": (["pressure", "spike", "--cache", "app:gone"], "there is no 'gone' in app"),
    "no benchmarks": (["bench", "gone.py"], "memlab bench: no file gone.py"),
    "file without benchmarks": (["bench", "app.py"], "decorate a function with @memlab.benchmark"),
    "gate without benchmarks": (["regress", "app.py"], "decorate a function with @memlab.benchmark"),
    "no lab book": (["history"], "is not there: check the path, or record a run first"),
    "no snapshot to convert": (["convert", "text.memlab", "x.csv"], "text.memlab is no memlab capture"),
    "nothing to import": (["import", "gone.bin", "x.memlab"], "gone.bin"),
    "no place for the demo": (["demo", "--keep", "app.py/x"], "the demo cannot write to"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("bad use")
    for name, text in FILES.items():
        (path / name).write_text(text)
    return path


def run(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "memlab", *arguments], cwd=folder, capture_output=True, text=True, timeout=90
    )


@pytest.mark.parametrize(("arguments", "said"), WRONG.values(), ids=WRONG)
def test_wrong_input_is_one_clear_line_and_exit_code_2(folder, arguments, said):
    """The line names what was wrong; nothing is written, and nothing reads like a bug of memlab."""
    before = sorted(folder.rglob("*"))
    done = run(folder, *arguments)
    lines = [line for line in done.stderr.splitlines() if line.startswith("memlab")]
    assert done.returncode == 2, done.stderr
    assert said in lines[-1]
    assert "Traceback" not in done.stderr
    assert "Traceback" not in done.stdout
    if "--execute" not in arguments:  # a kernel writes lines of its own
        assert done.stderr.splitlines() == lines[-1:]
    assert sorted(p for p in folder.rglob("*") if "__pycache__" not in p.parts) == [
        p for p in before if "__pycache__" not in p.parts
    ]


@pytest.mark.parametrize(("arguments", "said"), ALSO_WRONG.values(), ids=ALSO_WRONG)
def test_each_command_says_what_is_wrong_in_one_line(folder, monkeypatch, capsys, arguments, said):
    """As above."""
    from memlab.faces.cli import main

    monkeypatch.chdir(folder)
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    assert err.startswith(f"memlab {arguments[0]}: "), err
    assert said in err


def test_every_command_is_wrong_once():
    """A command that is not in the list above fails here."""
    from memlab.faces.cli import COMMANDS

    assert sorted(set(COMMANDS) - {arguments[0] for arguments, _ in (WRONG | ALSO_WRONG).values()}) == []


def test_no_command_shows_the_commands(folder):
    """Exit code 2, and the help on stdout."""
    done = run(folder)
    assert done.returncode == 2
    assert "hunt a leak in a function" in done.stdout
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_a_damaged_capture_is_one_line(folder, damage, tmp_path):
    """Some of many; the store's own tests do the other thousand."""
    good = tmp_path / "good.memlab"
    code = (
        "import sys, memlab; kept = []; "
        "memlab.find_leaks(lambda: kept.append([]), iterations=20, budget_s=1, trace=False).save(sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", code, str(good)], check=True, cwd=folder)
    content = good.read_bytes()
    broken = tmp_path / "broken.memlab"
    if damage == "truncated":
        broken.write_bytes(content[: len(content) // 2])
    else:
        broken.write_bytes(bytes(b ^ 0x10 if at % 97 == 50 else b for at, b in enumerate(content)))
    for command in (["show", str(broken)], ["report", str(broken), "-o", str(tmp_path / "x.html")]):
        done = run(folder, *command)
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "x.html").exists()

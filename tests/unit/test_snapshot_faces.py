"""The command line and the magics of snapshots."""

import json
import tracemalloc

import pytest
import shells
from test_diff import NEW, OLD

import memlab
from memlab.faces.cli import main


@pytest.fixture
def saved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    OLD.save("old.memlab")
    NEW.save("new.memlab")
    return tmp_path


def test_diff_prints_writes_and_ends_with_0(saved, capsys):
    assert main(["diff", "old.memlab", "new.memlab", "--html", "d.html", "--save", "d.memlab"]) == 0
    out, err = capsys.readouterr()
    assert "Growth from old to new" in out
    assert "report written to d.html" in err
    assert memlab.load("d.memlab") == NEW.diff(OLD)
    assert (saved / "d.html").read_text().lower().startswith("<!doctype html>")


def test_diff_as_json_by_file_per_iteration_and_filtered(saved, capsys):
    assert main(["diff", "old.memlab", "new.memlab", "--by", "file", "--per", "10", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["by"], document["per"]) == ("file", 10)
    assert main(["diff", "old.memlab", "new.memlab", "--include", "a.py", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["total_diff_bytes"] == -60
    assert main(["diff", "old.memlab", "new.memlab", "--own", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["total_diff_bytes"] == 0


def test_diff_is_exported(saved, capsys):
    assert main(["diff", "old.memlab", "new.memlab", "--export", "d.csv"]) == 0
    assert (saved / "d.csv").read_text().count("\n") == 1 + len(NEW.diff(OLD))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["diff", "old.memlab", "none.memlab"], "none.memlab is not there"),
        (["diff", "old.memlab", "other.memlab"], "other.memlab holds a snapshot diff, not a snapshot"),
        (["diff", "old.memlab", "new.memlab", "--per", "0"], "per must be a number of iterations"),
        (["diff", "old.memlab", "new.memlab", "--by", "thread"], "does not record which thread"),
        (["diff", "old.memlab", "new.memlab", "--save", "new.memlab"], "would overwrite a snapshot"),
        (["diff", "old.memlab", "new.memlab", "--export", "x.xyz"], "names no form"),
        (["diff", "old.memlab"], "NEWER"),
        (["convert", "old.memlab", "x.xyz"], "names no form"),
        (["convert", "other.memlab", "x.csv"], "not a snapshot"),
        (["convert", "old.memlab", "old.memlab"], "would overwrite"),
        (["import", "old.memlab", "x.memlab"], "old.memlab is refused"),
        (["import", "none.pickle", "x.memlab"], "is not there"),
        (["import", "none.pickle", "x.memlab", "--seconds", "0"], "seconds must be"),
    ],
    ids=" ".join,
)
def test_bad_use_is_one_line_and_leaves_nothing(saved, capsys, arguments, words):
    NEW.diff(OLD).save("other.memlab")
    before = sorted(saved.iterdir())
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1
    assert sorted(saved.iterdir()) == before


def test_convert_and_import(saved, capsys):
    assert main(["convert", "old.memlab", "old.folded"]) == 0
    assert "collapsed written to old.folded" in capsys.readouterr().out
    assert main(["convert", "old.memlab", "old.any", "--to", "speedscope"]) == 0
    tracemalloc.start(2)
    kept = bytearray(100_000)
    theirs = tracemalloc.take_snapshot()
    tracemalloc.stop()
    theirs.dump("theirs.pickle")
    assert main(["import", "theirs.pickle", "theirs.memlab", "--label", "their own"]) == 0
    loaded = memlab.load("theirs.memlab")
    assert loaded.label == "their own"
    assert loaded.total_blocks == len(theirs.traces)
    del kept


# -- magics


one_shell, shell, run = shells.one_shell, shells.shell, shells.run


def test_memdiff_tells_what_a_cell_keeps_by_line(shell, run):
    run("kept = []")
    done = run("%%memdiff\nx = 1\nkept.extend(bytes(1000) for _ in range(1000))")
    assert "Growth from before the cell to after the cell" in done.out
    first = next(line for line in done.out.splitlines() if "appeared" in line)
    assert first.split()[:2] == ["Cell", f"In[{shell.execution_count - 1}]:3"]
    assert not tracemalloc.is_tracing()


@pytest.mark.parametrize("number", [str(n) for n in range(6)])
def test_memdiff_returns_saves_and_groups(shell, run, tmp_path, number):
    """Whatever the hash in the name of the cell's file: the magic's call has one, and the cell's code one."""
    run(f"kept = [] # {number}")
    file = tmp_path / "d.memlab"
    run(f"%%memdiff -oq -b function --save {file}\ndef f():\n    kept.append(bytes(10**6))\nf() # {number}")
    growth = shell.user_ns["_"]
    assert growth.sites[0].site.frame.function == "f"
    assert memlab.load(file) == growth


def test_memdiff_compares_names_and_files(shell, run, tmp_path):
    OLD.save(tmp_path / "old.memlab")
    shell.user_ns["new"] = NEW
    run(f"d = %memdiff -oq --by file {tmp_path / 'old.memlab'} new")
    assert shell.user_ns["d"] == NEW.diff(OLD, "file")


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("%memdiff one", "name two snapshots"),
        ("%memdiff 'one", "No closing quotation"),
        ("%memdiff one two", "is not there"),
        ("x = 3\n%memdiff x x", "x is no snapshot"),
        ("%%memdiff here\n1", "is no option; code goes below"),
        ("%%memdiff --by class\n1", "by must be one of"),
        ("%%memdiff --per 0\n1", "per must be a number"),
        ("%%memdiff --depth 0\n1", "depth must be"),
        ("%%memdiff\n \n", "there is no code to run"),
    ],
)
def test_memdiff_bad_use_is_one_line(run, cell, words):
    done = run(cell)
    assert words in done.out + done.err
    assert "Traceback" not in done.out + done.err
    assert not tracemalloc.is_tracing()


def test_what_the_cell_raises_passes_through_and_the_tracer_is_gone(run):
    assert isinstance(run("%%memdiff\n1 / 0").error_in_exec, ZeroDivisionError)
    assert not tracemalloc.is_tracing()


def test_a_snapshot_in_a_notebook_names_its_cells_by_itself(shell, run):
    run(
        "import memlab\ntrace = memlab.tracing(depth=2).start()\nkept = bytearray(10**6)\n"
        "taken = trace.snapshot()\ntrace.stop()"
    )
    taken = shell.user_ns["taken"]
    top = taken.statistics().sites[0].site.frame
    assert (top.file, top.line) == (f"Cell In[{shell.execution_count - 1}]", 3)
    assert taken.statistics("package").sites[0].site.frame.file == "notebook"

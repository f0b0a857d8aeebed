"""What the notebook holds, and how it is let go of: exactly that, everywhere, and nothing else."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref

import pytest
import shells

import memlab
from memlab.errors import UsageError
from memlab.records.heap_results import HeapHoldings

one_shell, shell, run = shells.one_shell, shells.shell, shells.run


class Thing:
    """Can be watched."""


@pytest.fixture
def watched(shell):
    """Put a class into the notebook whose instances tell when they are freed."""
    gone = []

    class Watched(Thing):
        def __init__(self):
            weakref.finalize(self, gone.append, 1)

    shell.user_ns["Watched"] = Watched
    return gone


# -- holdings


def test_names_of_one_object_stand_together(run, shell):
    """With what frees them."""
    number = shell.execution_count
    run("x = [object() for _ in range(30_000)]\nx")
    held = memlab.holdings()
    assert type(held) is HeapHoldings
    (row,) = [row for row in held.holdings if "x" in row.names]
    assert f"Out[{number}]" in row.names
    assert row.kind == "variable"
    assert row.retained_bytes >= 30_000 * 16
    assert row is held.holdings[0]


def test_nothing_is_looked_at_before_it_is_asked_for():
    """Importing the names captures nothing."""
    code = "import memlab\nmemlab.holdings\nimport sys\nprint('IPython' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "False\n", done.stderr


def test_time_is_bounded(run):
    """An impossible bound gives an incomplete answer, not an error."""
    run("x = [1, 2]")
    assert not memlab.holdings(seconds=1e-6).complete
    assert memlab.holdings(seconds=30).complete


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), "2", None, True])
def test_a_wrong_bound_is_refused(shell, seconds):
    """In one sentence."""
    with pytest.raises(UsageError, match="holdings: seconds must be"):
        memlab.holdings(seconds=seconds)


def test_outside_a_notebook_both_refuse():
    """There are no names to look at."""
    code = (
        "import memlab\n"
        "for call in (memlab.holdings, lambda: memlab.release('x')):\n"
        "    try: call()\n"
        "    except memlab.UsageError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    one, two = done.stdout.splitlines()
    assert one.startswith("holdings: there is no notebook here")
    assert two.startswith("release: there is no notebook here")


# -- release


@pytest.mark.parametrize("as_named", ["Out[{}]", "_{}", "_oh[{}]", "_"])
def test_an_output_is_freed_everywhere(run, shell, watched, as_named):
    """Out, _n, _, the hidden copies, the display hook and the last result let go."""
    number = shell.execution_count
    run("Watched()")
    assert watched == []
    said = memlab.release(as_named.format(number))
    assert watched == [1]
    assert said.startswith(f"let go of Out[{number}], ")
    assert said.endswith("; it is freed")
    for name in (f"_{number}", "_"):
        assert name not in shell.user_ns
        assert name not in shell.user_ns_hidden
    assert number not in shell.user_ns["Out"]
    # The shell goes on as before.
    again = shell.execution_count
    assert run("40 + 2").result == 42
    assert shell.user_ns["_"] == shell.user_ns["Out"][again] == 42


def test_a_variable_that_holds_it_too_stays(run, shell, watched):
    """And is named."""
    number = shell.execution_count
    run("x = Watched()\nx")
    assert memlab.release(f"Out[{number}]").endswith("; x still holds it")
    assert watched == []
    assert type(shell.user_ns["x"]).__name__ == "Watched"
    assert memlab.release("x").endswith("let go of x (test_holdings.watched.<locals>.Watched); it is freed")
    assert watched == [1]


def test_a_variable_alone_is_dropped_not_its_output(run, shell, watched):
    """Exactly that name."""
    number = shell.execution_count
    run("x = Watched()\nx")
    said = memlab.release("x")
    assert "let go of x (" in said
    assert f"Out[{number}]" in said
    assert watched == []
    assert "x" not in shell.user_ns
    assert f"_{number}" in shell.user_ns


def test_other_outputs_stay(run, shell, watched):
    """Equal objects are not the same object; nothing is compared."""
    first = shell.execution_count
    run("class Same(Watched):\n    def __eq__(self, other): raise AssertionError\n    __hash__ = None")
    first = shell.execution_count
    run("Same()")
    run("Same()")
    memlab.release(f"Out[{first}]")
    assert watched == [1]
    assert first + 1 in shell.user_ns["Out"]
    assert "_" in shell.user_ns


def test_an_output_displayed_twice_is_let_go_of_in_both_places(run, shell, watched):
    """The same object under two numbers."""
    number = shell.execution_count
    run("Watched()")
    run(f"Out[{number}]")
    said = memlab.release(f"Out[{number + 1}]")
    assert watched == [1]
    assert f"Out[{number}], Out[{number + 1}]" in said


def test_all_outputs(run, shell, watched):
    """Those that a variable holds too are counted."""
    run("x = Watched()\nx")
    run("Watched()")
    run("Watched()")
    count = len(shell.user_ns["Out"])
    assert memlab.release("Out") == f"let go of {count} outputs; names of yours still hold 1 of them"
    assert watched == [1, 1]
    assert shell.user_ns["Out"] == {}
    assert memlab.release("Out") == "Out holds nothing"


def test_what_else_holds_it_is_said(run, shell, watched):
    """A list of the user's, or a cycle."""
    number = shell.execution_count
    run("kept = [Watched()]\nkept[0]")
    assert "something else still refers to it" in memlab.release(f"Out[{number}]")
    assert watched == []
    number = shell.execution_count
    run("w = Watched()\nw.me = w\nfor one in [w]: pass\ndel w, one\n_x = 1\nNone")
    run("y = Watched()\ny.me = y")
    assert "cycle" in memlab.release("y")
    gc.collect()
    assert watched == [1, 1]


def test_an_underscore_of_the_users_is_a_variable(run, shell):
    """Somebody who put something there finds only that gone."""
    run("[1]")
    number = shell.execution_count - 1
    run("_ = 'mine'")
    assert memlab.release("_").startswith("let go of _ (str)")
    assert shell.user_ns["Out"][number] == [1]


def test_the_last_exception_is_let_go_of(run, shell, watched):
    """With the variables of its frames."""
    run("def fail():\n    inside = Watched()\n    raise ValueError('x')\nfail()")
    gc.collect()
    assert watched == []
    assert memlab.release("last exception").startswith("let go of the last exception")
    gc.collect()
    assert watched == [1]
    assert not hasattr(sys, "last_value")
    assert memlab.release("sys.last_traceback") == "there is no last exception"
    assert run("1 + 1").result == 2
    assert type(run("1 / 0").error_in_exec) is ZeroDivisionError


def test_xdel_works_in_the_same_cell(run, shell, watched):
    """Release leaves the shell as its own commands expect it."""
    number = shell.execution_count
    run("Watched()")
    done = run(f"import memlab\nsaid = memlab.release('Out[{number}]')\nz = 1\n%xdel z")
    assert done.success
    assert watched == [1]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing", "there is no missing here"),
        ("Out[999]", "there is no Out[999] here"),
        ("_999", "there is no _999 here"),
        ("Out[99999999999999999999]", "is no name of the notebook"),
        ("x.attribute", "is no name of the notebook"),
        ("x[0]", "is no name of the notebook"),
        ("", "is no name of the notebook"),
        ("a\x1b[2Jb", "is no name of the notebook"),
        ("In", "is IPython's own"),
        ("_ih", "is IPython's own"),
        ("_i3", "is IPython's own"),
        ("get_ipython", "is IPython's own"),
        ("__name__", "is IPython's own"),
        ("__builtins__", "is IPython's own"),
        ("print", "is a builtin"),
        (3, "needs a name as text"),
        (None, "needs a name as text"),
        (["x"], "needs a name as text"),
    ],
    ids=repr,
)
def test_what_is_not_the_notebooks_is_refused(run, shell, name, words):
    """With a sentence, and every name is left as it was."""
    run("x = [1]")
    before = dict(shell.user_ns)
    with pytest.raises(UsageError) as caught:
        memlab.release(name)
    assert words in str(caught.value)
    assert str(caught.value).isprintable()
    assert dict(shell.user_ns) == before

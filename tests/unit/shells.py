"""An interactive shell in this process, for tests of what a notebook does: import the fixtures."""

from __future__ import annotations

import builtins
import sys
import textwrap

import pytest
from IPython.core.interactiveshell import InteractiveShell

from memlab.faces.ipython.magics import register, unregister

__all__ = ["one_shell", "run", "shell"]


@pytest.fixture(scope="module")
def one_shell():
    """A shell without history or terminal, and nothing of it left in the process afterwards."""
    from traitlets.config import Config

    before = set(vars(builtins))
    hook, excepthook, main = sys.displayhook, sys.excepthook, sys.modules["__main__"]
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    yield shell
    shell.history_manager.end_session()
    InteractiveShell.clear_instance()
    sys.displayhook, sys.excepthook, sys.modules["__main__"] = hook, excepthook, main
    for name in set(vars(builtins)) - before:
        delattr(builtins, name)
    for name in ("last_type", "last_value", "last_traceback", "last_exc"):
        vars(sys).pop(name, None)


@pytest.fixture
def shell(one_shell):
    """That shell with the magics, and with no names of another test."""
    register(one_shell)
    yield one_shell
    unregister(one_shell)
    one_shell.reset(new_session=True)


@pytest.fixture
def run(shell, capsys):
    """Run a cell; return its result with what it wrote."""

    def run_cell(source):
        capsys.readouterr()
        done = shell.run_cell(textwrap.dedent(source), store_history=True)
        done.out, done.err = capsys.readouterr()
        return done

    return run_cell

"""The command line: what it prints where, what it writes, and the exit code that a script reads."""

from __future__ import annotations

import functools
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from samples import leak_report

import memlab
from memlab.faces import cli
from memlab.faces.cli import console as console_module
from memlab.faces.cli import lab, main
from memlab.faces.cli.console import Console
from memlab.faces.hunt_options import HUNT_OPTIONS, hunt_keywords

_names = itertools.count()

SOURCE = """
import itertools
kept = []
calls = itertools.count(1)

class Order:
    pass

def leaks():
    kept.append(Order())

def fine():
    [Order() for _ in range(10)]

def raises_in_40():
    kept.append(Order())
    if next(calls) == 40:
        raise KeyError("gone")

def leaves():
    raise SystemExit(7)

def interrupts():
    if next(calls) == 40:
        raise KeyboardInterrupt

def prints():
    print("from the step")

def prepare():
    print("prepared")

def prepare_badly():
    raise ValueError("no database")

def opened():
    print("open")
    yield
    print("shut")

def closed():
    print("closed")

def raises_memlabs_own():
    import memlab
    memlab.load("/nowhere/at/all")

def generates():
    yield

def wants(a, b=1, *c, **d):
    pass

async def waits():
    kept.append(Order())

number = 3
"""


@pytest.fixture
def app(tmp_path, monkeypatch):
    """A module of its own name in the current folder, forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    name = f"app_{next(_names)}"
    (tmp_path / f"{name}.py").write_text(SOURCE, encoding="utf-8")
    yield name
    for module in set(sys.modules) - before:
        if getattr(sys.modules[module], "__file__", None) is None or str(tmp_path) in str(
            sys.modules[module].__file__
        ):
            del sys.modules[module]


SHORT = ["--iterations", "120", "--budget", "2"]


def leaks(*arguments):
    """Run the command without its second pass, which has a test of its own: the faces are the same."""
    return main(["leaks", *arguments, *SHORT, "--no-trace"])


# -- the verdict


def test_a_leak_is_exit_code_1_and_the_report_names_step_type_and_holder(app, capsys):
    """A script can stop on the exit code; a person reads the rest."""
    assert main(["leaks", f"{app}:leaks", *SHORT]) == 1
    out = capsys.readouterr().out
    assert out.startswith("LEAK")
    assert f"{app}:leaks" in out
    assert f"{app}.Order" in out
    assert f"{app}.kept" in out


def test_no_leak_is_exit_code_0(app, capsys):
    """Nothing left behind, nothing to stop for."""
    assert leaks(f"{app}:fine") == 0
    assert capsys.readouterr().out.startswith("NO LEAK")


def test_too_few_iterations_is_exit_code_3(app):
    """No verdict is neither a pass nor a failure."""
    assert main(["leaks", f"{app}:leaks", "--iterations", "2", "--budget", "2"]) == 3


def test_a_file_is_a_target_as_a_module_is(app, capsys):
    """The path needs no package, and its folder need not be the current one."""
    Path("elsewhere").mkdir()
    os.chdir("elsewhere")
    try:
        assert leaks(f"../{app}.py:leaks") == 1
    finally:
        os.chdir("..")
    assert "LEAK" in capsys.readouterr().out


def test_a_file_in_a_package_can_import_its_neighbours(tmp_path, app):
    """Its relative imports work, because it is imported as part of its package."""
    package = tmp_path / f"pack_{app}"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "kept.py").write_text("items = []\n")
    (package / "job.py").write_text("from .kept import items\ndef step():\n    items.append([0])\n")
    assert leaks(f"{package}/job.py:step") == 1


def test_a_file_named_like_a_loaded_module_does_not_replace_it(tmp_path, app):
    """A script may be called json.py; the rest of the process still needs the real one."""
    (tmp_path / "json.py").write_text("def step():\n    pass\n")
    assert leaks(f"{tmp_path}/json.py:step") == 0
    assert sys.modules["json"] is json


def test_a_dotted_function_is_found(tmp_path, app):
    """A static method is a function too."""
    (tmp_path / f"more_{app}.py").write_text(
        "class Jobs:\n    @staticmethod\n    def step():\n        pass\n"
    )
    assert leaks(f"more_{app}:Jobs.step") == 0


def test_a_coroutine_function_is_awaited(app):
    """Calling it is not running it; the hunt does."""
    assert leaks(f"{app}:waits") == 1


def test_the_path_is_put_back(app):
    """A program that calls main() keeps its own sys.path."""
    before = list(sys.path)
    leaks(f"{app}:fine")
    assert sys.path == before


# -- json, files


def test_json_is_the_only_thing_on_stdout_even_when_the_step_prints(app, capsys):
    """Stdout is one document; what the step and the setup print is on stderr."""
    assert leaks(f"{app}:prints", "--setup", "prepare", "--json", "--quiet") == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert document["verdict"] == "no leak"
    assert document["step"] == f"{app}:prints"
    assert err.splitlines()[0] == "prepared"
    assert set(err.splitlines()[1:]) == {"from the step"}


def test_without_json_the_steps_own_output_stays_on_stdout(app, capsys):
    """Nothing of the user's is taken away."""
    leaks(f"{app}:prints")
    assert "from the step\n" in capsys.readouterr().out


def test_a_result_is_saved_shown_and_reported(app, capsys):
    """The three commands hand each other the same result."""
    assert leaks(f"{app}:leaks", "--save", "x.memlab", "--report", "x.html", "--json") == 1
    live = json.loads(capsys.readouterr().out)
    assert main(["show", "x.memlab", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == live
    assert main(["show", "x.memlab"]) == 0
    assert capsys.readouterr().out.startswith("LEAK")
    assert main(["report", "x.memlab", "-o", "y.html"]) == 0
    assert Path("y.html").read_bytes() == Path("x.html").read_bytes()
    assert main(["report", "x.memlab"]) == 0
    assert Path("x.html").read_bytes() == Path("y.html").read_bytes()


@pytest.mark.parametrize("name", ["x.memlab", "./x.memlab", "link"])
def test_report_never_overwrites_its_input(app, capsys, name):
    """Whatever the capture is called, and through a link too."""
    leak_report().save("x.memlab")
    Path("link").symlink_to("x.memlab")
    before = Path("x.memlab").read_bytes()
    assert main(["report", "x.memlab", "-o", name]) == 2
    assert Path("x.memlab").read_bytes() == before
    assert one_line(capsys).startswith("memlab report: the report would overwrite the capture")


# -- the user's own errors


def test_a_step_that_raises_shows_what_was_seen_and_names_the_exception(app, capsys):
    """One line: type, iteration, line, and whose exception it is; nothing that looks like memlab's bug."""
    assert leaks(f"{app}:raises_in_40", "--save", "x.memlab") == 2
    out, err = capsys.readouterr()
    assert out.startswith("INCONCLUSIVE")
    line = SOURCE.splitlines().index('        raise KeyError("gone")') + 1
    (said,) = [one for one in err.splitlines() if "raised" in one]
    assert f"KeyError ('gone') in iteration 40 at {app}.py:{line} (the step's own exception)" in said
    assert "Traceback" not in err
    assert memlab.load("x.memlab").failure.iteration == 40


def test_with_json_a_step_that_raises_still_gives_a_document(app, capsys):
    """A script can read what was seen."""
    assert leaks(f"{app}:raises_in_40", "--json") == 2
    failure = json.loads(capsys.readouterr().out)["failure"]
    assert (failure["exception"], failure["iteration"]) == ("builtins.KeyError", 40)


def test_a_step_that_leaves_is_a_step_that_raises(app, capsys):
    """SystemExit does not end memlab, and its code is not memlab's."""
    assert leaks(f"{app}:leaves") == 2
    assert "SystemExit (7) in iteration 1" in one_line(capsys)


def test_memlabs_own_error_raised_by_the_step_is_the_steps(app, capsys):
    """A step may use memlab and fail in it."""
    assert leaks(f"{app}:raises_memlabs_own") == 2
    assert "the step raised memlab.errors.CaptureError" in one_line(capsys)


def test_a_setup_that_raises_is_named_as_the_setup(app, capsys):
    """Nothing was seen, so nothing is shown."""
    assert leaks(f"{app}:fine", "--setup", f"{app}:prepare_badly") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("memlab leaks: the setup raised ValueError (no database) at ")


def test_a_setup_that_yields_and_a_teardown_run_around_the_hunt(app, capsys):
    """Each once, the tear-down also when the step raises."""
    assert leaks(f"{app}:fine", "--setup", "opened", "--teardown", "closed") == 0
    out = capsys.readouterr().out.splitlines()
    assert [line for line in out if line in ("open", "shut", "closed")] == ["open", "shut", "closed"]
    assert leaks(f"{app}:raises_in_40", "--teardown", "closed") == 2
    assert "closed" in capsys.readouterr().out.splitlines()


def test_a_teardown_that_raises_is_named_and_the_report_is_shown(app, capsys):
    """What was found is not lost."""
    assert leaks(f"{app}:fine", "--teardown", "prepare_badly") == 2
    out, err = capsys.readouterr()
    assert out.startswith("NO LEAK")
    assert err.splitlines()[-1].startswith("memlab leaks: the teardown raised ValueError (no database) at ")


def test_show_tells_what_a_cut_would_free(app, capsys):
    """Of a saved report, by the suspect's number; one sentence where there is none."""
    assert main(["leaks", f"{app}:leaks", *SHORT, "--save", "x.memlab"]) == 1
    capsys.readouterr()
    assert main(["show", "x.memlab", "--what-if", "1"]) == 0
    out = capsys.readouterr().out
    assert f"all entries of {app}.kept" in out
    assert "Order" in out
    assert main(["show", "x.memlab", "--what-if", "2"]) == 2
    assert "suspects are numbered from 1 to 1" in one_line(capsys)


def test_an_interrupt_shows_what_was_seen(app, capsys):
    """Ctrl-C is 130, as from any program, and the work until then is not lost."""
    assert leaks(f"{app}:interrupts") == 130
    out, err = capsys.readouterr()
    assert out.startswith("INCONCLUSIVE")
    assert err.splitlines()[-1] == "memlab leaks: interrupted"


def test_a_bug_of_memlab_keeps_its_traceback_and_is_not_taken_for_a_leak(app, capsys, monkeypatch):
    """Python's own exit code for it, 1, would read as a leak."""
    from memlab.lab.leak_hunt import LeakHunt

    monkeypatch.setattr(LeakHunt, "_measure", lambda *a: 1 / 0)
    assert leaks(f"{app}:fine") == 70
    err = capsys.readouterr().err
    assert "ZeroDivisionError" in err
    assert err.startswith("Traceback")
    assert "a bug in memlab" in err.splitlines()[-1]


def test_a_setup_that_was_forgotten_is_hinted_at(tmp_path, app, capsys):
    """It is not called unless asked for, and that is said once; --quiet does not say it."""
    (tmp_path / f"with_{app}.py").write_text("def setup():\n    print('no')\ndef step():\n    pass\n")
    assert leaks(f"with_{app}:step") == 0
    out, err = capsys.readouterr()
    assert out.startswith("NO LEAK")
    assert "--setup setup" in err
    assert leaks(f"with_{app}:step", "--quiet") == 0
    assert capsys.readouterr().err == ""


# -- wrong input


def one_line(capsys):
    """Return the one line on stderr."""
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    return err


BAD = {
    "no_such_module_at_all:f": "no module 'no_such_module_at_all'",
    "no_such.deep.module:f": "no module 'no_such'",
    "no_file.py:f": "no file no_file.py",
    "APP": "names no function",
    "APP:": "names no function",
    ":": "names no function",
    "": "names no function",
    "not-a-name:f": "is no module's name",
    "APP:leeks": "did you mean 'leaks'",
    "APP:nothing_like_it_xyz": "has no 'nothing_like_it_xyz'",
    "APP:number": "must be something to call without arguments, not an int",
    "APP:generates": "is a generator function",
    "APP:wants": "needs arguments (a)",
    "APP.py:leaks:": "names no function",
    "./:f": "no file ./",
}


@pytest.mark.parametrize(("target", "said"), BAD.items())
def test_a_wrong_target_is_one_line_and_exit_code_2(app, capsys, target, said):
    """The line says what is wrong."""
    assert leaks(target.replace("APP", app)) == 2
    line = one_line(capsys)
    assert line.startswith("memlab leaks: ")
    assert said in line


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("1 / 0", "raised ZeroDivisionError at {name}.py:1: division by zero (the module's own exception)"),
        ("x = 1\nimport not_there_at_all", "raised ModuleNotFoundError at {name}.py:2"),
        ("raise SystemExit(0)", "raised SystemExit at {name}.py:1"),
        ("def f(:", "raised SyntaxError at {name}.py:1"),
        (
            "class E(Exception):\n    def __str__(self):\n        1 / 0\nraise E",
            "raised {name}.E at {name}.py:4 (",
        ),
        ("raise ValueError('two\\nlines')", "at {name}.py:1: two (the"),
        ("raise BaseExceptionGroup('g', [KeyError()])", "raised ExceptionGroup at"),
    ],
)
@pytest.mark.parametrize("form", ["{name}:f", "{name}.py:f"])
def test_a_module_that_raises_when_it_is_imported_is_named_as_the_one_that_did(
    tmp_path, app, capsys, source, said, form
):
    """Type and line of the user's exception, in one line, whatever it was."""
    name = f"bad_{app}"
    (tmp_path / f"{name}.py").write_text(source + "\n")
    assert leaks(form.format(name=name)) == 2
    assert said.format(name=name) in one_line(capsys)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--budget", "soon"], "--budget: invalid float value: 'soon'"),
        (["--iterations", "2.5"], "--iterations: invalid int value"),
        (["--warmup", ""], "--warmup: invalid int value"),
        (["--budget", "0"], "budget_s must be"),
        (["--budget", "nan"], "budget_s must be"),
        (["--budget", "-1"], "budget_s must be"),
        (["--iterations", "0"], "iterations must be"),
        (["--warmup", "-1"], "warmup must be"),
        (["--depth", "0"], "depth must be"),
        (["--save", "no/such/folder/x"], "cannot write no/such/folder/x"),
        (["--report", "."], "cannot write ."),
        (["--report", "/dev/null"], "cannot write /dev/null"),
        (["--save", ""], "without a name"),
        (["--save", "a" * 300], "cannot write aaa"),
        (["--save", "same", "--report", "./same"], "the same file"),
        (["--bugdet", "3"], "memlab leaks: no option '--bugdet'"),
        (["--setup", "no_such_module_at_all:f"], "no module"),
        (["--setup", "no_such_function"], "has no 'no_such_function'"),
        (["extra"], "memlab leaks: nothing to do with 'extra'"),
    ],
)
def test_a_wrong_option_is_one_line_before_the_step_runs(tmp_path, app, capsys, options, said):
    """A long run must not end in an error that could be known at its start."""
    (tmp_path / f"once_{app}.py").write_text("def step():\n    print('ran')\n")
    assert main(["leaks", f"once_{app}:step", *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert said in err


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["leak"], "did you mean 'memlab leaks'?"),
        (["xyzzy"], "the commands are " + ", ".join(cli.COMMANDS)),
        (["show"], "the following arguments are required: FILE"),
        (["show", "gone.memlab"], "gone.memlab"),
        (["show", "app.py"], "app.py"),
        (["show", "."], "."),
        (["report", "gone.memlab"], "gone.memlab"),
        (["report", "app.py", "-o", "x.html"], "app.py"),
        (["export", "gone.ipynb"], "no file gone.ipynb"),
        (["lab", "no folder"], "no folder 'no folder' here"),
        (["lab"], "no folder 'notebooks' here"),
        (["--nonsense"], "COMMAND"),
    ],
)
def test_a_wrong_command_is_one_line(tmp_path, monkeypatch, capsys, command, said):
    """Whatever the command, and nothing is left in the folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.py").write_text("x = 1\n")
    assert main(command) == 2
    assert said in one_line(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["app.py"]


def test_no_command_is_the_help_and_exit_code_2(capsys):
    """Somebody who types only the name wants to know what there is."""
    assert main([]) == 2
    assert "hunt a leak" in capsys.readouterr().out


# -- help, import cost


def test_help_lists_every_command_in_one_line_each(capsys):
    """The list is the commands' own words."""
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for name in cli.COMMANDS:
        assert sum(line.split()[:1] == [name] for line in out.splitlines()) == 1


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_each_commands_help_has_an_example_and_the_exit_codes(capsys, name):
    """No need to look anywhere else."""
    assert main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"example:\n  memlab {name} " in out
    assert "exit codes:\n" in out


def test_the_options_are_those_of_the_hunt_and_state_its_defaults(capsys):
    """The table and the hunt cannot drift apart."""
    import inspect

    from memlab.lab.leak_hunt import LeakHunt

    parameters = inspect.signature(LeakHunt).parameters
    for option in HUNT_OPTIONS:
        if option.keyword:
            assert option.keyword in parameters
            default = parameters[option.keyword].default
            if default is not None:
                assert f"default {default:g})" in option.help
    assert hunt_keywords({"budget": 2.0, "no_trace": True}) == {"budget_s": 2.0, "trace": False}
    assert hunt_keywords({"iterations": None}) == {"trace": True}


def test_version(capsys):
    """The package's own."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"memlab {memlab.__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["leaks", "--help"], ["nonsense"]])
def test_help_imports_nothing_heavy(arguments):
    """Numpy alone takes longer than reading the help."""
    code = (
        "import sys; from memlab.faces.cli import main; main(sys.argv[1:]); "
        "heavy = {'numpy', 'psutil', 'IPython', 'pandas', 'matplotlib', 'jinja2', 'sqlite3', 'asyncio'};"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# -- the terminal


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_progress_is_one_line_that_is_wiped(monkeypatch):
    """It is rewritten in place, and the result does not stand behind it."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    console = Console("memlab leaks")
    console.progress("a long stage", 0.5)
    console.progress("short", 0.75)
    console.error("done")
    text = terminal.getvalue()
    assert text.count("\n") == 1
    assert text.startswith("\rmemlab leaks: a long stage, 50 %\r")
    assert text.endswith("\r" + " " * len("memlab leaks: short, 75 %") + "\rmemlab leaks: done\n")
    assert "memlab leaks: short, 75 %" + " " * len("a long stage".replace("short", "")[:5]) in text


def test_elsewhere_progress_is_at_most_four_lines_and_none_for_short_work(monkeypatch, capsys):
    """A log is not filled with it."""
    console = Console("memlab leaks")
    console.progress("measuring", 0.1)
    monkeypatch.setattr(console_module, "FIRST_LINE_AFTER_S", 0.0)
    for percent in range(101):
        console.progress("measuring", percent / 100)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"memlab leaks: measuring, {n} %" for n in (0, 25, 50, 75)]


def test_quiet_is_silent(monkeypatch, capsys):
    """Neither progress nor hints; errors stay."""
    monkeypatch.setattr(console_module, "FIRST_LINE_AFTER_S", 0.0)
    console = Console("memlab leaks", quiet=True)
    console.progress("measuring", 0.5)
    console.hint("try this")
    console.error("wrong")
    assert capsys.readouterr().err == "memlab leaks: wrong\n"


def test_a_terminal_that_cannot_show_a_character_shows_a_question_mark(monkeypatch):
    """A Latin-1 terminal gets the report too."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    Console("memlab").out("a → b")
    assert raw.getvalue() == b"a ? b\n"


# -- as a program


def memlab_process(*arguments, cwd, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "memlab", *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A suite that runs in the background has the signal ignored, and its children inherit that.
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        **options,
    )


def test_the_program_finds_the_current_folder_and_passes_its_exit_code(app, tmp_path):
    """As python -m would."""
    with memlab_process("leaks", f"{app}:leaks", *SHORT, cwd=tmp_path) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert out.startswith("LEAK")


def test_the_installed_command_finds_the_current_folder_too(app, tmp_path):
    """Its own folder, and not the current one, is what Python puts on the path."""
    code = "import sys; sys.path[0] = '/nonexistent'; from memlab.faces.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "leaks", f"{app}:fine", *SHORT], cwd=tmp_path, capture_output=True
    )
    assert done.returncode == 0


def test_ctrl_c_prints_what_was_seen_and_exits_130(tmp_path):
    """From a real terminal's signal, in the middle of a round."""
    (tmp_path / "slow.py").write_text(
        textwrap.dedent("""
        import sys, time
        kept = []
        def step():
            kept.append([])
            if len(kept) == 30:
                print("ready", flush=True)
            time.sleep(0.01)
        """)
    )
    with memlab_process("leaks", "slow:step", "--budget", "60", cwd=tmp_path) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "INCONCLUSIVE" in out
    assert err.splitlines()[-1] == "memlab leaks: interrupted"
    assert "Traceback" not in err


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    """Memlab show | head: nothing on stderr, and the exit code is the command's."""
    leak_report().save(tmp_path / "x.memlab")
    with memlab_process("show", "x.memlab", cwd=tmp_path) as process:
        process.stdout.close()
        err = process.stderr.read()
        process.wait(timeout=30)
    assert err == ""
    assert process.returncode == 0


# -- lab


def test_lab_starts_jupyterlab_in_the_folder_with_its_options(tmp_path):
    """Run for real: its own --version; a json.py among the notebooks is not the server's json."""
    pytest.importorskip("jupyterlab")
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "json.py").write_text("raise SystemExit(99)")
    with memlab_process("lab", "--", "--version", cwd=tmp_path) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.split(".")[0] == "4"


def test_lab_passes_on_the_exit_code_the_options_and_the_folder(tmp_path, monkeypatch, capfd):
    """What JupyterLab refuses, memlab lab refuses with the same code."""
    server = tmp_path / "python"
    server.write_text('#!/bin/sh\npwd\necho "$@"\nexit 5\n')
    server.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(server))
    monkeypatch.setattr(lab.importlib.util, "find_spec", lambda name: "there")
    assert main(["lab", str(tmp_path), "--", "--port", "1"]) == 5
    assert capfd.readouterr().out.splitlines() == [str(tmp_path), "-P -m jupyterlab --port 1"]


def test_lab_without_jupyterlab_names_the_command_that_installs_it(tmp_path, monkeypatch, capsys):
    """The remedy, ready to be copied."""
    monkeypatch.setattr(lab.importlib.util, "find_spec", lambda name: None)
    assert main(["lab", str(tmp_path)]) == 2
    assert one_line(capsys).endswith("memlab lab needs jupyterlab: pip install 'memlab[notebook]'\n")


def test_lab_turns_a_signal_into_the_shells_exit_code(tmp_path, monkeypatch):
    """A server that was killed is 128 and the signal's number."""
    monkeypatch.setattr(lab.importlib.util, "find_spec", lambda name: "there")
    monkeypatch.setattr(lab, "_wait", lambda server: (server.kill(), server.wait())[1])
    assert main(["lab", str(tmp_path), "--", "--version"]) == 128 + signal.SIGKILL


# -- demo, export


def test_demo_hands_its_options_to_the_demonstration(tmp_path, monkeypatch, capsys):
    """The command parses and calls; what it does is elsewhere."""
    import types

    seen = {}

    def run_demo(out_dir, *, budget_s, say):
        seen.update(out_dir=out_dir, budget_s=budget_s)
        say("the reports are there")
        return 1

    fake = types.ModuleType("memlab.faces.demo")
    fake.run_demo = run_demo
    monkeypatch.setitem(sys.modules, "memlab.faces.demo", fake)
    monkeypatch.setattr(memlab.faces, "demo", fake, raising=False)
    assert main(["demo", "--keep", str(tmp_path / "d"), "--budget", "4"]) == 1
    assert seen == {"out_dir": tmp_path / "d", "budget_s": 4.0}
    assert capsys.readouterr().out == "the reports are there\n"


def test_export_executes_the_notebook_in_its_own_folder(tmp_path):
    """Run for real: the cell reads a file beside the notebook."""
    import nbformat

    (tmp_path / "nb").mkdir()
    (tmp_path / "nb" / "data.txt").write_text("read from beside")
    cell = nbformat.v4.new_code_cell("print(open('data.txt').read())")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "nb" / "a.ipynb")
    before = (tmp_path / "nb" / "a.ipynb").read_bytes()
    with memlab_process("export", "nb/a.ipynb", "--execute", "-o", "a.html", cwd=tmp_path) as process:
        out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    assert out == "page written to a.html\n"
    assert "read from beside" in (tmp_path / "a.html").read_text(encoding="utf-8")
    assert (tmp_path / "nb" / "a.ipynb").read_bytes() == before

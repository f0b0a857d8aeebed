"""``memlab run`` and ``memlab attach``: what they say, write, refuse and leave alone."""

import os
import signal
import subprocess
import sys
import time

import pytest

from memlab.faces import cli
from memlab.store.capture_file import load

pytestmark = pytest.mark.skipif(
    not os.path.exists("/proc/self/statm"),  # noqa: PTH110
    reason="needs /proc",
)
MEMLAB = [sys.executable, "-m", "memlab"]


def memlab(*arguments, cwd, **more):
    run = subprocess.run(
        [*MEMLAB, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False, **more
    )
    return run.returncode, run.stdout, run.stderr.splitlines()


def test_run_writes_the_recording_and_one_line_and_gives_back_the_exit_code(tmp_path):
    (tmp_path / "job.py").write_text("import sys\nb = bytearray(50_000_000)\nprint('out')\nsys.exit(4)\n")
    code, out, errors = memlab("run", "-o", "x-{pid}.memlab", "--report", "x.html", "job.py", cwd=tmp_path)
    assert (code, out) == (4, "out\n")
    (written,) = tmp_path.glob("x-*.memlab")
    assert written.name in errors[0]
    assert errors[0].startswith("memlab run: peak ")
    assert errors[1] == "memlab run: report written to x.html"
    capture = load(written)
    assert (capture.outcome.exit_code, capture.complete) == (4, True)
    assert capture.peak.increment_bytes == pytest.approx(50_000_000, rel=0.1)
    shown = written.read_bytes() + (tmp_path / "x.html").read_bytes()
    assert str(tmp_path).encode() not in shown


def test_a_recorded_program_does_not_pay_for_numpy_nor_for_other_records(tmp_path):
    """While it runs none of it is there, and the table of kinds brings no record with it."""
    (tmp_path / "job.py").write_text(
        "import sys\n"
        "heavy = {'numpy', 'pandas', 'memlab.records.snapshot', 'memlab.records.snapshot_tables'}\n"
        "weight = lambda: sorted(heavy & sys.modules.keys())\n"
        "print(weight())\n"
        "import memlab.store.kinds as kinds\n"
        "print(len(kinds.KINDS) > 30, [m for m in sys.modules if m.startswith('memlab.records.')])\n"
    )
    code, out, errors = memlab("run", "--quiet", "-o", "m.memlab", "job.py", cwd=tmp_path)
    assert (code, out.splitlines(), errors) == (0, ["[]", "True []"], [])
    assert load(tmp_path / "m.memlab").sites is not None


def test_run_of_a_module_and_of_a_program_that_records_itself(tmp_path):
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__main__.py").write_text(
        "import memlab\nwith memlab.record() as r:\n    r.mark('in')\n"
        "print(__name__, r.capture.marks[0].label)\n"
    )
    code, out, errors = memlab("run", "--quiet", "-o", "m.memlab", "-m", "pack", cwd=tmp_path)
    assert (code, out, errors) == (0, "__main__ in\n", [])
    assert load(tmp_path / "m.memlab").marks == ()


def test_ctrl_c_ends_the_program_and_the_recording_says_so(tmp_path):
    (tmp_path / "wait.py").write_text("import time\nprint('on', flush=True)\ntime.sleep(60)\n")
    with subprocess.Popen(
        [*MEMLAB, "run", "-o", "c.memlab", "wait.py"], cwd=tmp_path, stdout=-1, stderr=-1
    ) as run:
        run.stdout.readline()
        time.sleep(0.2)
        run.send_signal(signal.SIGINT)
        errors = run.communicate(timeout=60)[1]
    assert run.returncode == -signal.SIGINT
    assert b"KeyboardInterrupt" in errors
    capture = load(tmp_path / "c.memlab")
    assert (capture.outcome.signal, capture.complete) == ("SIGINT", True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run"], "name a script"),
        (["run", "nowhere.py"], "there is no script nowhere.py"),
        (["run", "--bad", "x.py"], "no option '--bad'"),
        (["run", "-m"], "-m needs the name of a module"),
        (["run", "-m", "no.such"], "there is no module no.such"),
        (["run", "--interval", "0", "x.py"], "a number of seconds above 0"),
        (["run", "-o", "missing/x.memlab", "x.py"], "cannot write missing/x.memlab"),
        (["attach", "99999999"], "there is no process 99999999"),
        (["attach", "x"], "the number of a process"),
        (["attach", "1", "--seconds", "-1"], "a number of seconds above 0"),
    ],
)
def test_bad_use_is_one_line_and_code_2(arguments, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.py").write_text("")
    argv, path, main = list(sys.argv), list(sys.path), sys.modules["__main__"]
    try:
        assert cli.main(arguments) == 2
    finally:
        sys.argv[:], sys.path[:], sys.modules["__main__"] = argv, path, main
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.py"]


def test_attach_writes_the_recording(tmp_path):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1) as target:
        code, out, errors = memlab("attach", target.pid, "--seconds", "0.5", "-o", "a.memlab", cwd=tmp_path)
        target.communicate(b"x\n")
    assert (code, out) == (0, "")
    assert errors[0].startswith("memlab attach: peak ")
    assert load(tmp_path / "a.memlab").timeline.high_water_mark() > 1_000_000

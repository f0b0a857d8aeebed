"""``memlab leaks --run``: a program under its own load, with the hunt beside it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from memlab.errors import StepError
from memlab.faces.cli import main
from memlab.lab.iterations import ProgramEnded, RunningStep, mark_iteration, marked_iterations

SERVICE = """
import socketserver, socket, sys, threading
import memlab

sessions = {}
class Session:
    def __init__(self, name):
        self.name = name

class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        name = self.rfile.readline()
        sessions[name if "leak" in sys.argv else b"one"] = Session(name)
        self.wfile.write(b"ok")
        if "unmarked" not in sys.argv:
            memlab.mark_iteration()

class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

def load(address):
    for number in range(10**9):
        with socket.create_connection(address) as client:
            client.sendall(b"session %d\\n" % number)
            client.recv(10)

server = Server(("127.0.0.1", 0), Handler)
threading.Thread(target=load, args=(server.server_address,), daemon=True).start()
try:
    server.serve_forever(0.05)
except KeyboardInterrupt:
    print("closed")
    server.server_close()
"""


def run(tmp_path, *words, code=SERVICE, options=("--budget", "5")):
    script = tmp_path / "service.py"
    script.write_text(code)
    command = [sys.executable, "-m", "memlab", "leaks", *options, "--run", str(script), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="the program is ended by a signal")
@pytest.mark.parametrize("words", [("leak",), ("leak", "unmarked")])
def test_a_service_that_leaks_is_named_with_its_line_and_holder(tmp_path, words):
    """Under its own load, by its marks or by the clock; it is closed as Ctrl-C closes it."""
    done = run(tmp_path, *words, options=("--budget", "5", "--json"))
    report = json.loads(done.stdout)
    assert (report["verdict"], done.returncode) == ("leak", 1), report["reason"]
    first = report["suspects"][0]
    assert first["type_name"] == "__main__.Session"
    assert "sessions" in json.dumps(first)
    assert report["step"] == "service.py"
    assert any("marked" in note for note in report["notes"])
    assert "closed" in done.stderr, "its own output, where only the result may stand on stdout"
    if len(words) == 1:
        assert report["objects_per_iteration"] == pytest.approx(1, abs=0.6)


def test_a_program_that_ends_first_is_no_verdict(tmp_path):
    """What was seen is shown, and what to do is said."""
    code = "import memlab, time\nfor n in range(20):\n    memlab.mark_iteration()\n    time.sleep(0.05)\n"
    done = run(tmp_path, code=code, options=("--budget", "20"))
    assert done.returncode == 3
    assert "the program ended after" in done.stdout.lower()
    assert "Traceback" not in done.stderr


def test_a_program_that_raises_shows_its_own_exception(tmp_path):
    """With its own traceback alone, and the exit code of a step that raises."""
    done = run(
        tmp_path, code="import time\ntime.sleep(1.5)\nraise ValueError('mine')\n", options=("--budget", "9")
    )
    assert done.returncode == 2
    assert "ValueError: mine" in done.stderr
    assert "memlab/" not in done.stderr


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["leaks"], "name the step"),
        (["leaks", "--run"], "--run needs a script"),
        (["leaks", "--run", "-m"], "--run needs a script"),
        (["leaks", "a:b", "--run", "x.py"], "leave TARGET out"),
        (["leaks", "--setup", "a:b", "--run", "x.py"], "leave --setup out"),
        (["leaks", "--run", "nowhere.py"], "there is no script"),
    ],
)
def test_wrong_use_is_one_line(line, said, capsys):
    """Each names the remedy."""
    assert main(line) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1


def test_a_running_step_counts_what_the_program_did():
    """More than asked for counts too; the end and a long silence are told apart."""
    over, done = threading.Event(), [0]
    step = RunningStep("a program", lambda: done[0], over, patience_s=0.05)
    done[0] = 7
    step.run(2)
    assert step.calls == 7
    with pytest.raises(StepError, match="marked no iteration for"):
        step.run(1)
    over.set()
    with pytest.raises(ProgramEnded):
        step.run(1)


def test_marks_of_all_threads_count():
    """None is lost."""
    before = marked_iterations()
    threads = [threading.Thread(target=lambda: [mark_iteration() for _ in range(2000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert marked_iterations() - before == 8000


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(("word", "code"), [("leak", 3), ("uncaught", 130)])
def test_ctrl_c_ends_the_program_and_shows_what_was_seen(tmp_path, word, code):
    """A program that closes itself has ended; one that does not was interrupted."""
    script = tmp_path / "service.py"
    script.write_text(
        SERVICE if word == "leak" else SERVICE.replace("except KeyboardInterrupt", "except EOFError")
    )
    command = [sys.executable, "-m", "memlab", "leaks", "--budget", "60", "--run", str(script), word]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        time.sleep(5)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
    assert child.returncode == code, err
    assert "service.py" in out
    assert ("closed" in out) is (word == "leak")

"""``memlab leaks --run``: hunt a leak in a program while it does its own work.

The program runs in the main thread, as ``memlab run`` runs it; the hunt runs in a thread beside it. When the
hunt has its answer the program is asked to end as Ctrl-C asks; when the program ends first, what was seen
until then is the answer.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

from memlab.errors import UsageError
from memlab.faces.hunt_options import hunt_keywords
from memlab.faces.user_errors import error_text
from memlab.lab.iterations import BEAT_S, ProgramEnded, RunningStep, marked_iterations

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from memlab.faces.cli.console import Console
    from memlab.lab.leak_hunt import LeakHunt
    from memlab.records.leak_report import LeakReport

__all__ = ["run_watched"]

_SETTLE_SHARE = 0.1
_SETTLE_MOST_S = 3.0
_LONGEST_END_S = 10.0
LEAK = 1
BAD_USE = 2
NO_VERDICT = 3
INTERRUPTED = 130


class _Hunter:
    """The thread beside the program."""

    def __init__(self, label: str, args: argparse.Namespace, console: Console) -> None:
        self.over = threading.Event()
        self.answered = threading.Event()
        self.report: LeakReport | None = None
        self.failure: BaseException | None = None
        self.seconds = 0.0
        self._label = label
        self._args = args
        self._console = console
        self._hunt: LeakHunt | None = None
        self._thread = threading.Thread(target=self._run, name="memlab-hunt", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        """Say that the program has ended, and wait for the answer."""
        while self._thread.is_alive():
            try:
                self.over.set()
                self._thread.join()
            except KeyboardInterrupt:
                if not self.answered.is_set():
                    raise

    def _run(self) -> None:
        began = time.monotonic()
        from memlab.lab.leak_hunt import LeakHunt

        keywords = hunt_keywords(vars(self._args))
        budget = keywords.get("budget_s", 30.0)
        try:
            self.over.wait(min(_SETTLE_SHARE * budget, _SETTLE_MOST_S))
            marked = marked_iterations() > 0
            count = marked_iterations if marked else _beats
            step = RunningStep(self._label, count, self.over, by_clock=not marked)
            hunt = self._hunt = LeakHunt(step, progress=self._console.progress, **keywords)
            hunt.run()
            self.report = hunt.report
            unit = "iterations are those that the program marked"
            if not marked:
                unit = f"the program marked no iteration: an iteration is {1000 * BEAT_S:.0f} ms here"
            if self.report is not None:
                self.report = dataclasses.replace(self.report, notes=(*self.report.notes, unit))
        except ProgramEnded:
            self.seconds = time.monotonic() - began
            seen = self._hunt.report if self._hunt is not None else None
            if seen is not None:
                reason = (
                    f"the program ended after {self.seconds:.1f} s, before there was an answer "
                    f"(budget {budget:g} s): let it run longer, or give a smaller --budget"
                )
                self.report = dataclasses.replace(seen, failure=None, reason=reason)
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            self.failure = error
        finally:
            self.answered.set()
            if not self.over.is_set():
                self._end_program()

    def _end_program(self) -> None:
        """Ask as Ctrl-C does, so that the program closes what it has open."""
        main = threading.main_thread().ident
        if hasattr(signal, "pthread_kill") and main is not None:
            signal.pthread_kill(main, signal.SIGINT)  # ends a system call that waits, too
        else:
            os.kill(os.getpid(), signal.SIGINT)
        if not self.over.wait(_LONGEST_END_S):
            self._console.hint("the hunt is done, and the program goes on: end it to see the answer")


def _beats() -> int:
    return int(time.monotonic() / BEAT_S)


def run_watched(args: argparse.Namespace, console: Console, show: Callable[[LeakReport | None], None]) -> int:
    """Run the program, hunt beside it, show what was found and return the verdict as an exit code."""
    from memlab.faces.cli.program import module_program, report_error, run_program, script_program

    _check(args)
    name, arguments = _named(args.run)
    program = module_program(arguments[0], arguments[1:]) if name == "-m" else script_program(name, arguments)
    label = f"-m {arguments[0]}" if name == "-m" else os.path.basename(name)  # noqa: PTH119 - text
    hunter = _Hunter(label, args, console)
    raised: list[BaseException] = []

    def ended_by(error: BaseException) -> int:
        raised.append(error)
        return 0 if isinstance(error, KeyboardInterrupt) else report_error(error)

    hunter.start()
    try:
        run_program(program, ended_by)
    finally:
        program.interrupted = False
        hunter.join()
    if hunter.failure is not None:
        if isinstance(hunter.failure, UsageError):
            raise hunter.failure
        console.error(f"the hunt failed: {error_text(hunter.failure)}")
        return BAD_USE
    if hunter.report is None:
        console.error(
            f"the program ended after {hunter.seconds:.1f} s, before the hunt began: nothing was seen"
        )
        return NO_VERDICT
    show(hunter.report)
    error = raised[0] if raised else None
    if isinstance(error, KeyboardInterrupt) and not hunter.report.complete:
        console.error("interrupted")
        return INTERRUPTED
    if error is not None and not isinstance(error, KeyboardInterrupt):
        console.error("the program raised an exception of its own (above)")
        return BAD_USE
    if hunter.report.verdict.is_leak:
        return LEAK
    return 0 if hunter.report.verdict == "no leak" else NO_VERDICT


def _check(args: argparse.Namespace) -> None:
    for option in ("target", "setup", "teardown"):
        if getattr(args, option) is not None:
            name = "TARGET" if option == "target" else f"--{option}"
            raise UsageError(f"--run watches a program as it is: leave {name} out, and write --run last")


def _named(words: Sequence[str]) -> tuple[str, list[str]]:
    if not words or words == ["-m"]:
        raise UsageError("--run needs a script, or -m and a module, and what it is given")
    return words[0], list(words[1:])

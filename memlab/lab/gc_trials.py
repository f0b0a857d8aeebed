"""Try settings of the collector on a workload, each run in a child process of its own, round by round.

A script gets a fresh interpreter each time. A function runs in a fork of this process, so that it finds the
heap that it would find here. The settings take turns within each round, in an order that changes from round
to round.
"""

from __future__ import annotations

import contextlib
import gc
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memlab._base.environment import describe_environment
from memlab._base.safety import clean
from memlab.analyses.gc_choice import PREFERENCES, choose
from memlab.collectors.gc_kind import collector_kind
from memlab.errors import StepError, UnavailableError, UsageError
from memlab.lab import _gc_child
from memlab.records.gc_results import GcAdvice, GcTrial

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["SETTINGS", "collector_sentence", "recommend_gc"]

# Name, what the child is told, and the lines that a program needs for it.
SETTINGS: tuple[tuple[str, Mapping[str, Any], str], ...] = (
    ("as it is", {}, ""),
    ("threshold 10,000", {"threshold": (10_000, 20, 50)}, "import gc\ngc.set_threshold(10_000, 20, 50)"),
    ("threshold 50,000", {"threshold": (50_000, 20, 100)}, "import gc\ngc.set_threshold(50_000, 20, 100)"),
    ("freeze", {"freeze": True}, "import gc\ngc.collect(); gc.freeze()  # after imports and data"),
    (
        "freeze, threshold 10,000",
        {"freeze": True, "threshold": (10_000, 20, 50)},
        "import gc\ngc.set_threshold(10_000, 20, 50)\ngc.collect(); gc.freeze()  # after imports and data",
    ),
    (
        "collect every second",
        {"schedule": {"every_s": 1.0, "growth_mb": 64}},
        "from memlab import GCSchedule\nGCSchedule(every_s=1.0, growth_mb=64).start()",
    ),
)
_FIGURES = ("cpu_s", "wall_s", "pause_s", "p99_s", "max_s", "collections", "peak_bytes")
_LAST_LINES = 400


def recommend_gc(
    workload: Callable[[], object] | str | os.PathLike[str],
    *,
    arguments: Sequence[str] = (),
    rounds: int = 5,
    prefer: str = "balanced",
    most_memory: float = 1.25,
    timeout_s: float = 600.0,
    settings: Sequence[str] | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> GcAdvice:
    """Try settings of the collector on a workload of yours and say which to take, or that none helps.

    Tried are higher thresholds, setting aside what is alive at the start (``gc.freeze``), both together,
    and collections by the clock. Nothing is applied here. The workload runs ``rounds`` times for each
    setting, so it must be repeatable; what it prints is dropped. Not seen: work that it leaves to other
    processes.

    Args:
        workload: path of a script, or a function called without arguments. A function runs in forks of this
            process, which POSIX systems alone have.
        arguments: the script's own.
        rounds: runs of each setting, in turn.
        prefer: what is to get better: ``pause``, ``throughput``, or either (``balanced``).
        most_memory: how much more peak memory a setting may take, as a factor; 16 MiB more are always
            allowed.
        timeout_s: seconds that one run may take.
        settings: names of the settings to try beside the interpreter's own; None: all.
        progress: called with what is done and how far all is, from 0 to 1.

    Raises:
        UsageError: when an argument makes no sense.
        StepError: when the workload can be neither run nor called.
        UnavailableError: when the workload fails, or takes too long.

    Example:
        >>> def workload():
        ...     return sum(range(1000))
        >>> advice = recommend_gc(workload, rounds=1, settings=["freeze"])
        >>> advice.helps, [trial.name for trial in advice.trials]
        (False, ['as it is', 'freeze'])
    """
    _check(rounds, prefer, most_memory, timeout_s)
    chosen = _chosen(settings)
    run, name = _runner(workload, arguments, timeout_s)
    results: dict[str, list[dict[str, Any]]] = {setting[0]: [] for setting in chosen}
    shuffle = random.Random(0)  # noqa: S311 - an order, the same each time
    done, total = 0, rounds * len(chosen)
    for number in range(rounds):
        for setting, order, _ in shuffle.sample(chosen, len(chosen)):
            if progress is not None:
                progress(f"round {number + 1} of {rounds}: {setting}", done / total)
            results[setting].append(run(order))
            done += 1
    trials = tuple(
        GcTrial(
            name=setting,
            code=code,
            **{figure: tuple(result[figure] for result in results[setting]) for figure in _FIGURES},
        )
        for setting, _, code in chosen
    )
    best, reason = choose(trials, prefer, most_memory)
    return GcAdvice(
        workload=name,
        collector=collector_kind().sentence,
        trials=trials,
        recommended=best.name if best is not None else "",
        reason=reason,
        code=_code(best, workload) if best is not None else "",
        prefer=prefer,
        most_memory=most_memory,
        environment=describe_environment(),
        notes=_notes(trials, best),
    )


def collector_sentence() -> str:
    """Return in a sentence which collector this interpreter has, and its thresholds.

    >>> "Python" in collector_sentence()
    True
    """
    first, *rest = gc.get_threshold()
    return f"{collector_kind().sentence} Thresholds: {', '.join(map(str, (first, *rest)))}."


# -- running


def _runner(
    workload: Any, arguments: Sequence[str], timeout_s: float
) -> tuple[Callable[[Mapping[str, Any]], dict[str, Any]], str]:
    if isinstance(workload, (str, os.PathLike)):
        path = Path(workload)
        if not path.is_file():
            raise UsageError(f"trying settings of the collector: there is no script {path.name}")
        return lambda order: _run_script(path, arguments, order, timeout_s), path.name
    if not callable(workload):
        raise StepError(
            "trying settings of the collector: name a script, or give a function that is called without"
            f" arguments; {type(workload).__name__} is neither"
        )
    if not hasattr(os, "fork"):
        raise UnavailableError(
            "trying settings of the collector on a function needs fork(), which this system lacks: put the"
            " function into a script and name that"
        )
    name = getattr(workload, "__qualname__", "")
    return lambda order: _run_fork(workload, order, timeout_s), clean(name if type(name) is str else "")


def _run_script(
    path: Path, arguments: Sequence[str], order: Mapping[str, Any], timeout_s: float
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="memlab-gc-") as folder:
        out = Path(folder) / "figures.json"
        command = [sys.executable, _gc_child.__file__, json.dumps(order), str(path), str(out)]
        try:
            ended = subprocess.run(  # noqa: S603 - the user's own script
                [*command, str(path), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise UnavailableError(_too_long(path.name, timeout_s)) from None
        if ended.returncode or not out.is_file():
            said = clean(ended.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2][-_LAST_LINES:])
            raise UnavailableError(
                f"trying settings of the collector: {path.name} ended with exit code {ended.returncode}"
                f"{f' ({said})' if said else ''}; it must run to its end by itself"
            )
        figures: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
        return figures


def _run_fork(workload: Callable[[], object], order: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
    reader, writer = os.pipe()
    child = 0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # other threads are not in the child
            child = os.fork()
        if child == 0:
            _in_child(workload, order, writer)
        os.close(writer)
        writer = -1
        text = _read_all(reader, timeout_s)
    finally:
        for descriptor in (reader, writer):
            if descriptor >= 0:
                os.close(descriptor)
        if child:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, 9)  # it has ended, or never will
            os.waitpid(child, 0)
    if text is None:
        raise UnavailableError(_too_long("the workload", timeout_s))
    figures: dict[str, Any] = json.loads(text or "{}")
    if "cpu_s" not in figures:
        what = figures.get("raised", "ended without a result")
        raise UnavailableError(f"trying settings of the collector: the workload {what} in its child process")
    return figures


def _in_child(workload: Callable[[], object], order: Mapping[str, Any], writer: int) -> None:
    """Run in the fork, and never return."""
    try:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nowhere, descriptor)
        try:
            figures = _gc_child.measure(workload, dict(order))
        except BaseException as error:  # noqa: BLE001 - told to the parent
            figures = {"raised": f"raised {type(error).__name__}"}
        with os.fdopen(writer, "w") as pipe:
            json.dump(figures, pipe)
    finally:
        os._exit(0)


def _read_all(reader: int, timeout_s: float) -> str | None:
    """Read to the end; None when that takes too long."""
    import select
    import time

    deadline = time.monotonic() + timeout_s
    parts: list[bytes] = []
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([reader], [], [], left)[0]:
            return None
        part = os.read(reader, 65536)
        if not part:
            return b"".join(parts).decode("utf-8", "replace")
        parts.append(part)


# -- parts


def _code(best: GcTrial, workload: Any) -> str:
    """Return the lines to put into the program, with the place where they belong in a script."""
    if "freeze" not in best.name or not isinstance(workload, (str, os.PathLike)):
        return best.code
    import ast

    tree = ast.parse(Path(workload).read_bytes())
    place = _gc_child.freeze_place(tree)
    if place >= len(tree.body):
        return best.code
    return best.code.replace(
        "after imports and data", f"before line {tree.body[place].lineno} of {Path(workload).name}"
    )


def _notes(trials: tuple[GcTrial, ...], best: GcTrial | None) -> tuple[str, ...]:
    own = trials[0]
    low, high = own.spread("cpu_s")
    notes = []
    if low and high / low > 1.25:  # noqa: PLR2004 - a quarter
        notes.append(
            f"Processor time as it is varied from {low:.3g} to {high:.3g} s between rounds:"
            " the machine was busy."
        )
    if own.middle("cpu_s") < 0.2:  # noqa: PLR2004 - seconds
        notes.append("The workload is short: let it do more, so that the collector has time to settle.")
    if best is not None and best.middle("p99_s") > own.middle("p99_s"):
        notes.append(
            "The 99th percentile of the pauses rises where there are few: of 50 pauses it is the longest one."
        )
    return tuple(notes)


def _too_long(what: str, timeout_s: float) -> str:
    return f"trying settings of the collector: {what} took longer than {timeout_s:g} s; give it less to do"


def _chosen(names: Sequence[str] | None) -> list[tuple[str, Mapping[str, Any], str]]:
    if names is None:
        return list(SETTINGS)
    known = {setting[0]: setting for setting in SETTINGS}
    wrong = [name for name in names if name not in known]
    if isinstance(names, str) or wrong or not names:
        there_are = ", ".join(list(known)[1:])
        raise UsageError(f"trying settings of the collector: the settings are {there_are}")
    return [known[name] for name in dict.fromkeys((SETTINGS[0][0], *names))]


def _check(rounds: Any, prefer: Any, most_memory: Any, timeout_s: Any) -> None:
    if type(rounds) is not int or rounds < 1:
        raise UsageError(
            f"trying settings of the collector: rounds must be a whole number from 1, not {rounds!r}"
        )
    if prefer not in PREFERENCES:
        raise UsageError(
            f"trying settings of the collector: prefer must be one of {', '.join(PREFERENCES)},"
            f" not {prefer!r}"
        )
    for name, value in (("most_memory", most_memory), ("timeout_s", timeout_s)):
        if type(value) not in (int, float) or not value > 0 or not math.isfinite(value):
            raise UsageError(
                f"trying settings of the collector: {name} must be a number above 0, not {value!r}"
            )

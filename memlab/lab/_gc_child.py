"""One run of a workload under one setting of the collector, in a process of its own.

A script is run as ``python script.py`` runs it, with this file in between, which imports nothing of
memlab's and of no other package: what the collector walks is the program's. (Only a trial of ``GCSchedule``
imports that.) The pauses are noted in an array that was made before; the figures are written as JSON when
the workload has ended.
"""

from __future__ import annotations

import ast
import gc
import json
import os
import sys
import time
from array import array
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["measure", "script_code"]

_MOST = 1_000_000
_FREEZE = "__memlab_freeze__"


def measure(
    workload: Callable[[], object], setting: dict[str, Any], freeze_now: bool = True
) -> dict[str, Any]:
    """Run a workload and return its figures.

    Args:
        workload: called once.
        setting: ``threshold``, ``freeze`` and ``schedule``, each None or false for the interpreter's own.
        freeze_now: freeze before the call; False where the workload does it at its own moment.
    """
    pauses = array("q", bytes(8 * _MOST))
    state = array("q", (0, 0, 0))  # when it began, how many, objects found
    # By the clock: the processor time of a thread takes a system call, microseconds where those are watched.
    clock = time.perf_counter_ns

    def watch(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            state[0] = clock()
        elif state[0]:
            pauses[state[1] % _MOST] = clock() - state[0]
            state[0] = 0
            state[1] += 1
            state[2] += info["collected"]

    schedule = _apply(setting, freeze_now=freeze_now)
    gc.callbacks.append(watch)
    cpu, wall = time.process_time(), time.perf_counter()
    try:
        workload()
    finally:
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        gc.callbacks.remove(watch)
        if schedule is not None:
            schedule.stop()
    kept = sorted(pauses[: min(state[1], _MOST)])
    return {
        "cpu_s": cpu,
        "wall_s": wall,
        "pause_s": sum(kept) / 1e9,
        "p99_s": kept[min(len(kept) - 1, int(len(kept) * 0.99))] / 1e9 if kept else 0.0,
        "max_s": kept[-1] / 1e9 if kept else 0.0,
        "collections": state[1],
        "collected": state[2],
        "peak_bytes": _peak(),
    }


def script_code(source: bytes, path: str, *, freeze: bool) -> Any:
    """Compile a script; with ``freeze``, the heap is set aside when its imports and definitions are done.

    That is before ``if __name__ == "__main__"``, or after the last import where there is none.
    """
    tree = ast.parse(source, path)
    if freeze and tree.body:
        place = freeze_place(tree)
        call = ast.parse(f"{_FREEZE}()").body[0]
        for node in ast.walk(call):
            if hasattr(node, "lineno"):
                ast.copy_location(node, tree.body[min(place, len(tree.body) - 1)])
        tree.body.insert(place, call)
    return compile(tree, path, "exec", dont_inherit=True)


def freeze_place(tree: ast.Module) -> int:
    """Return the index of the statement before which to freeze."""
    last = 0
    for at, node in enumerate(tree.body):
        if isinstance(node, ast.If) and any(
            isinstance(part, ast.Name) and part.id == "__name__" for part in ast.walk(node.test)
        ):
            return at
        first = at == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if first or isinstance(node, (ast.Import, ast.ImportFrom)):
            last = at + 1
    return last


def _apply(setting: dict[str, Any], *, freeze_now: bool) -> Any:
    if setting.get("threshold"):
        gc.set_threshold(*setting["threshold"])
    if setting.get("freeze") and freeze_now:
        _freeze()
    if setting.get("schedule"):
        from memlab.lab.gc_schedule import GCSchedule

        return GCSchedule(**setting["schedule"]).start()
    return None


def _freeze() -> None:
    gc.collect()
    gc.freeze()


def _peak() -> int:
    try:
        with open("/proc/self/status", "rb") as status:  # noqa: PTH123 - no pathlib in the measured process
            for line in status:
                if line.startswith(b"VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def _main() -> None:
    order = json.loads(sys.argv[1])
    path, out = sys.argv[2], sys.argv[3]
    sys.argv[:] = sys.argv[4:]
    sys.path[0] = os.path.dirname(os.path.realpath(path))  # noqa: PTH120 - as python does
    main = ModuleType("__main__")
    vars(main).update(__file__=path, __builtins__=sys.modules["builtins"])
    vars(main)[_FREEZE] = _freeze
    sys.modules["__main__"] = main
    with open(path, "rb") as file:  # noqa: PTH123 - no pathlib in the measured process
        code = script_code(file.read(), path, freeze=bool(order.get("freeze")))

    def run() -> None:
        try:
            exec(code, vars(main))  # noqa: S102 - running the program is what was asked for
        except SystemExit as leaving:
            if leaving.code not in (None, 0):
                raise

    figures = measure(run, order, freeze_now=False)
    with open(out, "w", encoding="utf-8") as result:  # noqa: PTH123 - no pathlib in the measured process
        json.dump(figures, result)


if __name__ == "__main__":
    _main()

"""``memlab pressure``: run a scenario of memory pressure in a cage, alone or with something inside it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from memlab.errors import UsageError
from memlab.faces.cli.parser import describe
from memlab.faces.cli.target import importable, module_path, parse_target
from memlab.faces.outputs import Outputs

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from memlab.faces.cli.console import Console
    from memlab.faces.cli.target import Target
    from memlab.records.pressure import PressureRun

__all__ = ["HELP", "TEXTS", "add_arguments", "run"]

HELP = "put a cache, a pool or a function under memory pressure, in a cage"
TEXTS = describe(
    "Run a scenario of memory pressure in a child process with a wall around it. SCENARIO is ramp, spike,\n"
    "sawtooth or oom; or failures, which makes every allocation of the subject fail once. A target is\n"
    "package.module:function or path/to/file.py:function: the step itself for --subject, what makes the\n"
    "cache or pool for --cache and --pool, what returns the keys for --keys.",
    "memlab pressure spike --cache app/cache.py:make --budget 256MiB --report pressure.html",
    "exit codes:\n"
    "  0    every phase ran, or stopped below the limit as the scenario says\n"
    "  1    the subject raised, memory ran out, or the cage died\n"
    "  2    bad use, or the machine has not the memory; one line says which\n"
    "  3    the deadline came first\n"
    "  130  interrupted; what was seen so far is printed",
)
FAILED = 1
NO_ANSWER = 3
INTERRUPTED = 130
_FAILURES = "failures"
_TARGETS = ("subject", "cache", "pool", "keys")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("scenario", metavar="SCENARIO", help="ramp, spike, sawtooth, oom or failures")
    parser.add_argument("--budget", metavar="SIZE", help="what the whole cage may take (default 256MiB)")
    parser.add_argument("--seconds", metavar="S", type=float, help="how long the scenario lasts")
    parser.add_argument("--subject", metavar="TARGET", help="a step, called again and again")
    parser.add_argument("--cache", metavar="TARGET", help="makes a cache, which is asked for keys in turn")
    parser.add_argument(
        "--pool", metavar="TARGET", help="makes a pool, whose objects are taken and given back"
    )
    parser.add_argument("--keys", metavar="TARGET", help="returns the keys for the cache, without end")
    parser.add_argument("--value-bytes", metavar="N", type=int, default=10_240, help="size of a cached value")
    parser.add_argument("--key-count", metavar="N", type=int, default=4_000, help="keys of the usual trace")
    parser.add_argument("--nth", metavar="N", type=int, help="with failures: fail only the Nth allocation")
    parser.add_argument("--deadline", metavar="S", type=float, help="end it after so long")
    parser.add_argument(
        "--cgroup", action="store_true", help="put a cgroup around it as well, where permitted"
    )
    parser.add_argument("--save", metavar="FILE", help="write the result as a capture")
    parser.add_argument("--report", metavar="OUT.html", help="write the result as one HTML page")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")
    parser.add_argument("--quiet", action="store_true", help="no progress and no hints on stderr")


def run(args: argparse.Namespace, console: Console) -> int:
    """Run, print, and return how it ended as an exit code."""
    from memlab.lab.pressure import MemoryPressureSimulator
    from memlab.records.pressure import PressureOutcome

    outputs = Outputs(args.save, args.report)
    targets = {
        name: parse_target(getattr(args, name)) for name in _TARGETS if getattr(args, name) is not None
    }
    with contextlib.ExitStack() as stack:
        simulator = stack.enter_context(MemoryPressureSimulator(args.budget))
        for target in targets.values():
            stack.enter_context(importable(target))
        try:
            result = _run(args, simulator, targets, console)
        except KeyboardInterrupt:
            if simulator.last_run is not None:
                _show(simulator.last_run, args, console, outputs)
            console.error("interrupted")
            return INTERRUPTED
    _show(result, args, console, outputs)
    if result.outcome in (PressureOutcome.FINISHED, PressureOutcome.STOPPED):
        return 0
    return NO_ANSWER if result.outcome is PressureOutcome.DEADLINE else FAILED


def _run(
    args: argparse.Namespace, simulator: Any, targets: dict[str, Target], console: Console
) -> PressureRun:
    from memlab.lab.scenarios import PressureScenario

    named = {name: module_path(target) for name, target in targets.items()}
    if args.scenario == _FAILURES:
        if set(named) != {"subject"}:
            raise UsageError("pressure failures: it needs --subject, and takes no cache, pool or keys")
        deadline = {} if args.deadline is None else {"deadline_s": args.deadline}
        result: PressureRun = simulator.fail_allocations(named["subject"], nth=args.nth, **deadline)
        return result
    if args.nth is not None:
        raise UsageError("pressure: --nth goes with the scenario failures")
    scenario = PressureScenario.named(args.scenario)
    if args.seconds is not None:
        scenario = scenario.lasting(args.seconds)
    ended: PressureRun = simulator.run(
        scenario,
        **named,
        value_bytes=args.value_bytes,
        key_count=args.key_count,
        deadline_s=args.deadline,
        cgroup=args.cgroup,
        on_sample=_progress(scenario.name, scenario.seconds, console),
    )
    return ended


def _progress(name: str, seconds: float, console: Console) -> Callable[[float, int, object], None]:
    def sample(now: float, _rss: int, _told: object) -> None:
        console.progress(name, now / seconds if seconds else 1.0)

    return sample


def _show(result: PressureRun, args: argparse.Namespace, console: Console, outputs: Outputs) -> None:
    if args.json:
        console.out_json(result.to_dict())
    else:
        console.out(str(result).rstrip("\n"))
    for line in outputs.write(result):
        console.hint(line)

"""Random plans of memory pressure, ended in every way there is: never above the budget, and nobody left.

Each plan runs in a parent of its own, so that the parent can be killed as well. A watcher that knows nothing
of memlab's own figures reads the caged process from outside, a hundred times a second. A cage is known by a
word in its environment, which whatever it may have started would have inherited.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and limits on processes"),
]

LONG = os.environ.get("MEMLAB_LONG") == "1"
PLANS = 500 if LONG else 20
AT_ONCE = 4
ROOT = Path(__file__).resolve().parents[2]
MIB = 2**20
SLACK = 16 * MIB
BACK_WITHIN_S = 2.0
MARK = "MEMLAB_TEST_PLAN"
ENDS = ("return", "raise", "kill child", "kill parent", "deadline")
SUBJECTS = (
    None,
    None,
    {"cache": "cage_subjects:small_cache", "value_bytes": 1000},
    {"cache": "cage_subjects:unbounded_cache"},
    {"pool": "cage_subjects:Pool"},
    {"subject": "cage_subjects:step"},
    {"subject": "cage_subjects:takes_all"},
    {"subject": "cage_subjects:fails_later"},
)

PARENT = """
import json, sys
sys.path[:0] = {path!r}
import memlab
plan = json.load(sys.stdin)
stages = tuple(memlab.PressureStage(*stage) for stage in plan["stages"])
scenario = memlab.PressureScenario("random", stages, plan["stop_at"])
def look(now, rss, told):
    if plan["end"] == "raise" and now > plan["after"]:
        raise RuntimeError("the caller's own")
simulator = memlab.MemoryPressureSimulator(plan["budget"])
try:
    run = simulator.run(scenario, deadline_s=plan["deadline"], on_sample=look, **(plan["subject"] or {{}}))
    print(json.dumps({{"outcome": run.outcome.value, "peak": run.peak_rss_bytes, "reason": run.reason}}))
except memlab.UnavailableError as error:
    print(json.dumps({{"outcome": "did not begin", "reason": str(error), "peak": None}}))
except RuntimeError as error:
    seen = simulator.last_run
    print(json.dumps({{"outcome": "raised", "reason": str(error), "peak": seen.peak_rss_bytes}}))
"""


def random_plan(seed):
    """Return a plan: budget, course, subject, and the way it ends."""
    chance = random.Random(seed)
    end = ENDS[seed % len(ENDS)]
    seconds = chance.uniform(0.15, 0.5)
    count = chance.randint(1, 6)
    stages = [
        (
            f"stage {n}",
            chance.choice((0.0, seconds / count, seconds / count)),
            chance.choice((0, 0.3, 0.8, 1.0)),
        )
        for n in range(count)
    ]
    return {
        "budget": chance.choice((40, 48, 64, 96)) * MIB,
        "stages": [*stages, ("rest", 30.0 if end != "return" else 0.05, chance.choice((0.0, 1.0)))],
        "stop_at": chance.choice((None, 0.95, 0.8)),
        "subject": chance.choice(SUBJECTS),
        "end": end,
        "after": chance.uniform(0.0, 0.6),
        "deadline": chance.uniform(0.6, 1.2) if end == "deadline" else 60.0,
    }


def marked(word):
    """Return the processes that carry a word in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == word and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def caged(parent):
    """Return the child of a parent, None when it has none."""
    try:
        children = psutil.Process(parent).children()
    except psutil.Error:
        return None
    return children[0] if children else None


def resident(pid):
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def carry_out(plan, word):
    """Run a plan to its end; return the greatest memory seen from outside, and what the parent said."""
    path = [str(ROOT), str(ROOT / "tests" / "unit")]
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(path=path)],
        env=os.environ | {MARK: word},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        parent.stdin.write(json.dumps(plan))
        parent.stdin.close()
        parent.stdin = None
        peak, child, seen_at = 0, None, 0.0
        while parent.poll() is None:
            now = time.monotonic()
            if child is None:
                child = caged(parent.pid)
                seen_at = now
            else:
                peak = max(peak, resident(child.pid))
                if now - seen_at > 0.4 + plan["after"] and plan["end"].startswith("kill"):
                    (child if plan["end"] == "kill child" else parent).send_signal(signal.SIGKILL)
                    break
            time.sleep(0.01)
        ended = time.monotonic()
        said, errors = parent.communicate(timeout=30)
    finally:
        parent.kill()
        parent.wait()
    back = ended
    while (left := marked(word)) and time.monotonic() - ended < 2 * BACK_WITHIN_S:
        time.sleep(0.02)
        back = time.monotonic()
    return {"peak": peak, "said": said, "errors": errors, "left": left, "back": back - ended}


@pytest.mark.timeout(7200 if LONG else 300)
def test_no_random_plan_passes_its_budget_and_none_leaves_anybody():
    """20 plans (500 in the long run), a fifth each: return, raise, child killed, parent killed, deadline."""
    expected = {
        "raise": {"raised"},
        "kill child": {"died", "did not begin"},
        "deadline": {"deadline", "did not begin"},
    }
    over, late, wrong = [], [], []
    worst_over = worst_back = 0.0
    plans = [random_plan(seed) for seed in range(PLANS)]
    with ThreadPoolExecutor(AT_ONCE) as pool:  # a plan mostly waits
        results = list(pool.map(carry_out, plans, [f"{os.getpid()}-{seed}" for seed in range(PLANS)]))
    for seed, (plan, got) in enumerate(zip(plans, results, strict=True)):
        worst_over = max(worst_over, got["peak"] - plan["budget"])
        worst_back = max(worst_back, got["back"])
        if got["peak"] > plan["budget"] + SLACK:
            over.append((seed, got["peak"] / MIB, plan))
        if got["left"] or got["back"] > BACK_WITHIN_S:
            late.append((seed, got["back"], plan["end"]))
        if plan["end"] == "kill parent":
            continue
        if not got["said"]:
            wrong.append((seed, plan["end"], got["errors"][-400:]))
            continue
        told = json.loads(got["said"])
        if told["peak"] is not None and told["peak"] > plan["budget"] + SLACK:
            over.append((seed, told["peak"] / MIB, "by the kernel's mark"))
        if told["outcome"] not in expected.get(plan["end"], {told["outcome"]}):
            wrong.append((seed, plan["end"], told))
    print(
        f"{PLANS} plans: at most {worst_over / MIB:+.1f} MiB against the budget; "
        f"nobody left after {worst_back:.2f} s"
    )
    assert (over, late, wrong) == ([], [], [])


def test_five_hundred_plans_above_the_ceiling_are_refused_before_a_process_starts(monkeypatch):
    """Each a MemoryError; nothing is started, and no page of this process is touched for it."""
    import memlab

    monkeypatch.setattr("subprocess.Popen", None)
    chance = random.Random(3)
    with memlab.MemoryMonitor() as monitor:
        most = monitor.read(uss=False).available_bytes
        before = psutil.Process().memory_info().rss
        for _ in range(500):
            budget = int(most * chance.uniform(0.6, 50))
            with pytest.raises(MemoryError, match="more than may be taken here"):
                memlab.MemoryPressureSimulator(budget, monitor=monitor).run("spike")
        assert psutil.Process().memory_info().rss - before < 4 * MIB

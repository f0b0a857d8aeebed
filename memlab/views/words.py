"""The sentences that text, page and notebook share, so that no two views tell a result differently.

Every function takes a record or a number and returns plain text. A figure that is absent is told with its
reason and never as 0. Text that came from the measured program goes through ``printable`` before it is shown.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from memlab._base.units import format_bytes, format_count, format_seconds, format_things
from memlab.records.chain import RootKind
from memlab.records.leak_report import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memlab.records.chain import Link, ReferenceChain
    from memlab.records.leak_report import (
        ContainerGrowth,
        GrowthTest,
        LeakReport,
        Protocol,
        StepFailure,
        Suspect,
    )
    from memlab.records.sites import Frame

__all__ = [
    "absent",
    "amount",
    "bound_sentence",
    "chain_text",
    "chance",
    "environment_facts",
    "failure_sentence",
    "growth",
    "headline",
    "interval",
    "least",
    "link_text",
    "metric_name",
    "next_steps",
    "place",
    "printable",
    "protocol_sentence",
    "root_sentence",
    "sentence",
    "source_words",
    "suspect_objects",
    "test_sentence",
    "type_text",
]

LONGEST = 2000
_TINY = 0.005
_LEAST_BOUND = 1e-12  # nobody states one so small: a foreign file did

_METRICS = {
    "rss_bytes": "Process memory (RSS)",
    "uss_bytes": "Process memory (USS)",
    "pss_bytes": "Process memory (PSS)",
    "traced_bytes": "Traced memory",
    "swap_bytes": "Process memory in swap",
    "family_pss_bytes": "Process and children (PSS)",
    "cgroup_bytes": "Memory of the control group",
    "cgroup_peak_bytes": "Greatest memory of the control group",
    "available_bytes": "Memory available on the machine",
    "stall_us": "Waiting for memory, microseconds",
    "gc_count": "Objects since the last collection",
    "allocated_blocks": "Python memory blocks",
    "malloc_bytes": "In use at malloc",
    "malloc_free_bytes": "Held free by malloc",
    "tracked_objects": "Collector-tracked objects",
    "objects": "Collector-tracked objects",
    "gc_objects": "Collector-tracked objects",
    "threads": "Threads",
    "iteration": "Iteration",
    "ballast_bytes": "Ballast",
    "room_bytes": "Room under the tightest ceiling",
    "hit_rate_percent": "Hit rate (%)",
    "latency_us": "Mean latency (µs)",
    "busy_ns": "Time in calls (ns)",
}

_ROOTS = {
    RootKind.MODULE: "a module of the program: it lives as long as the process",
    RootKind.FRAME: "a running function: it ends when the function returns",
    RootKind.NOTEBOOK: "the notebook itself, not the code under test: clear the output or the name",
    RootKind.LAST_EXCEPTION: "the last traceback that Python keeps: the next exception frees it",
    RootKind.THREAD: "a thread that is still running",
    RootKind.TYPE: "a class: it lives as long as the class does",
    RootKind.OUTSIDE: "nothing in Python: native code, or the interpreter itself, holds it",
    RootKind.GARBAGE: "nothing: it is part of a cycle and waits for the collector",
}


def printable(text: str, most: int = LONGEST) -> str:
    r"""Make text from elsewhere safe to show: one line, no control or direction marks, bounded length.

    >>> printable("a\x00b\u202ec"), printable("x" * 30, 12)
    ('a\\x00b\\u202ec', 'xxxxxxxxxxx…')
    """
    if len(text) > most:
        text = text[: most - 1] + "…"
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else " " if c in "\n\t" else c.encode("unicode_escape").decode("ascii")
        for c in text
    )


def metric_name(metric: str) -> str:
    """Return a metric in words.

    >>> metric_name("rss_bytes"), metric_name("open_files")
    ('Process memory (RSS)', 'Open files')
    """
    known = _METRICS.get(metric)
    if known is not None:
        return known
    words = metric.removesuffix("_bytes").replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def amount(metric: str, value: float) -> str:
    """Write a value of a metric: a size for ``_bytes``, else a count; what is not nought never reads 0.

    >>> amount("rss_bytes", 2048), amount("objects", 12.5), amount("objects", 0.0004)
    ('2.00 KiB', '12.5', '0.0004')
    """
    if metric.endswith("_bytes"):
        return format_bytes(value) if abs(value) >= _TINY or not value else f"{value:.1g} B"
    return format_count(value) if abs(value) >= _TINY or not value else f"{value:.1g}"


def growth(metric: str, value: float) -> str:
    """Write a growth of a metric with its sign.

    >>> growth("rss_bytes", 2048), growth("blocks", 3), growth("blocks", -0.5), growth("blocks", 0)
    ('+2.00 KiB', '+3', '-0.5', '0')
    """
    return f"+{amount(metric, value)}" if value > 0 else amount(metric, value)


def interval(test: GrowthTest) -> str:
    """Write the 95 % interval of a test's growth."""
    return f"{growth(test.metric, test.low)} to {growth(test.metric, test.high)}"


def chance(bound: float) -> str:
    """Write a false-positive bound as odds.

    >>> chance(1 / 720), chance(1.0)
    ('1 in 720', '1 in 1')
    """
    return f"1 in {format_count(round(1 / bound))}" if bound > _LEAST_BOUND else "none stated"


def least(test: GrowthTest) -> str:
    """Write the least growth that a test could have told from noise."""
    return amount(test.metric, test.least) if test.least else "not stated"


def test_sentence(test: GrowthTest) -> str:
    """Say what one test showed."""
    blocks = len(test.minima)
    if test.grew and test.sustained:
        return f"rose in each of {blocks} blocks, and went on rising in the second half"
    if test.grew:
        return f"rose in each of {blocks} blocks, but slowed down in the second half: it may be filling up"
    rises = sum(b > a for a, b in itertools.pairwise(test.minima))
    if rises == blocks - 1:
        return f"rose in each of {blocks} blocks, but by less than this metric moves on its own"
    return f"rose in {rises} of {max(blocks - 1, 0)} steps between blocks: no lasting growth"


def headline(report: LeakReport) -> str:
    """Return the verdict as one line, without the verdict's own word."""
    step, calls = report.step, f"{report.protocol.iterations:,} iterations"
    if report.verdict is Verdict.INCONCLUSIVE and report.failure is not None:
        return f"{step} stopped the hunt: {failure_sentence(report.failure)}"
    return {
        Verdict.LEAK: f"each iteration of {step} leaves {_left_behind(report)} behind",
        Verdict.NATIVE_LEAK: (
            f"each iteration of {step} leaves {_left_behind(report)} behind, outside Python's own objects"
        ),
        Verdict.NO_LEAK: f"{step} left nothing behind that grew throughout {calls}",
        Verdict.WARMING_UP: f"{step} grows, but towards a bound or ever more slowly",
        Verdict.FRAGMENTATION: f"{step} frees its objects; the allocator keeps their memory",
        Verdict.INCONCLUSIVE: f"{calls} of {step} do not tell",
    }[report.verdict]


def _left_behind(report: LeakReport) -> str:
    parts = []
    if report.objects_per_iteration:
        number = format_count(report.objects_per_iteration)
        parts.append(f"{number} object{'' if number == '1' else 's'}")
    if report.bytes_per_iteration:
        parts.append(format_bytes(report.bytes_per_iteration))
    return ", ".join(parts) or "something"


def absent(report: LeakReport, metric: str) -> str:
    """Say why a report has no figure for a metric."""
    reason = report.series.absent.get(metric)
    if reason:
        return f"it was not read: {reason}"
    if report.failure is not None:
        return "the step failed before it could be measured"
    if not report.complete:
        return "the hunt ended before it could be measured"
    if report.verdict is Verdict.NO_LEAK:
        return "nothing rose to the end of the run, so there is no lasting growth to measure"
    return "it was not measured in this run"


def place(frame: Frame) -> str:
    """Return ``file:line in function``; an unknown line is left out.

    >>> from memlab.records.sites import Frame
    >>> place(Frame("app.py", 3, "f")), place(Frame("app.py", 0))
    ('app.py:3 in f', 'app.py')
    """
    spot = f"{frame.file}:{frame.line}" if frame.line > 0 else frame.file
    return f"{spot} in {frame.function}" if frame.function else spot


def sentence(text: str) -> str:
    """Set a clause as a sentence: a capital unless it begins with a name, and a full stop.

    >>> sentence("the hunt was stopped"), sentence("app.py failed"), sentence("Done.")
    ('The hunt was stopped.', 'app.py failed.', 'Done.')
    """
    first = text.split(" ", 1)[0]
    if first.isalpha():
        text = text[0].upper() + text[1:]
    return text if not text or text[-1] in ".!?…" else f"{text}."


def source_words(source: str) -> str:
    """Say what a report's bytes per iteration are made of."""
    known = {
        "traced": "traced: what Python's allocators handed out",
        "malloc": "what malloc handed out and did not get back",
        "rss": "RSS of the whole process",
    }
    return known.get(source, source)


def suspect_objects(suspect: Suspect) -> str:
    """Say how many things an iteration leaves under a suspect.

    Plain strings and numbers are not tracked by the collector; then the container's entries are told.
    """
    if not suspect.objects_per_iteration and suspect.container is not None:
        return format_things(suspect.container.entries_per_iteration, "untracked entry", "untracked entries")
    return format_things(suspect.objects_per_iteration, "object")


def freed_sentence(suspect: Suspect) -> str:
    """Say what would be freed if a suspect's holder let go; empty where an older version did not ask."""
    freed = suspect.freed
    if freed is None:
        return f"Not known: {suspect.freed_absent}." if suspect.freed_absent else ""
    what = " and ".join(freed.cut) or "it"
    if freed.objects:
        much = f"{format_bytes(freed.freed_bytes)} in {format_things(freed.objects, 'object')}"
        text = f"{much} would go with {what}."
    else:
        text = f"Nothing would go with {what}."
    return " ".join((text, *freed.notes))


def link_text(link: Link) -> str:
    """Return one link of a chain; a name that stands in both its parts is said once.

    >>> from memlab.records.chain import Link
    >>> link_text(Link("._live", "_live (set)", "builtins.set")), link_text(Link("[3]", "Node", "app.Node"))
    ('._live (set)', '[3] Node')
    """
    name = link.via.lstrip(".")
    if name and (link.label == name or link.label.startswith(f"{name} ")):
        return link.via + link.label[len(name) :]
    return f"{link.via} {link.label}".strip()


def chain_text(chain: ReferenceChain) -> str:
    """Return a chain on one line, from the root to the object."""
    parts = [link_text(link) for link in chain.links]
    if chain.cut:
        parts.insert(len(parts) // 2, f"… {chain.cut:,} more …")
    return " -> ".join(parts)


def root_sentence(root: RootKind) -> str:
    """Say what it means that a chain starts where it does."""
    return _ROOTS[root]


def bound_sentence(container: ContainerGrowth) -> str:
    """Say whether a container that grows will stop."""
    if container.bound is None:
        return "no bound known"
    source = f" ({container.bound_source})" if container.bound_source else ""
    now = container.lengths[-1] if container.lengths else None
    if now is not None and now >= container.bound:
        return f"full: it holds at most {container.bound:,} entries{source}"
    return f"stops at {container.bound:,} entries{source}"


def type_text(name: str) -> str:
    """Return a type's name as people write it: builtins without their module.

    >>> type_text("builtins.dict"), type_text("app.models.Session")
    ('dict', 'app.models.Session')
    """
    return name.removeprefix("builtins.") or name


def environment_facts(environment: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return what a record says of where it was made, under names fit to be shown."""
    names = {"python": "Python", "platform": "Platform"}
    return tuple((names.get(key, key), value) for key, value in environment.items())


def failure_sentence(failure: StepFailure) -> str:
    """Say where the step stopped the hunt."""
    at = f" at {failure.at}" if failure.at else ""
    return f"{failure.exception} in iteration {failure.iteration:,} ({failure.stage}){at}"


def protocol_sentence(protocol: Protocol) -> str:
    """Say how the iterations were spent."""
    parts = [
        f"{protocol.warmup:,} to warm up",
        f"{protocol.rounds:,} rounds of {protocol.per_round:,}",
    ]
    if protocol.traced:
        parts.append(f"{protocol.traced:,} traced")
    budget = f" of {format_seconds(protocol.budget_s)}" if protocol.budget_s else ""
    return f"{protocol.iterations:,} ({', '.join(parts)}) in {format_seconds(protocol.elapsed_s)}{budget}"


def next_steps(report: LeakReport) -> tuple[str, ...]:
    """Say what a person would best do now."""
    if report.failure is not None:
        return ("Mend the step so that it can be called again and again, then hunt once more.",)
    if report.verdict is Verdict.LEAK:
        return (*_about_first_suspect(report), "Hunt again after the change: the verdict should be no leak.")
    if report.verdict is Verdict.NO_LEAK:
        return _how_fine(report)
    return {
        Verdict.WARMING_UP: (
            "Raise the warm-up or the iterations until every bound is reached, then hunt once more.",
        ),
        Verdict.NATIVE_LEAK: (
            "Look at the extension modules and buffers that the step uses: no Python object accounts for it.",
            "A native allocation profiler such as memray (pip install 'memlab[native]') names the function.",
        ),
        Verdict.FRAGMENTATION: (
            "Nothing has to be freed in Python. Fewer threads, or another allocator, give the memory back.",
        ),
    }.get(
        report.verdict,
        ("Give the hunt more time or more iterations, and keep other work off the process.",),
    )


def _about_first_suspect(report: LeakReport) -> tuple[str, ...]:
    if not report.suspects:
        return ("Allow more time or a greater tracing depth: growth is proved, its cause was not found.",)
    first, steps = report.suspects[0], []
    if first.container is not None and first.container.bound is None:
        steps.append(f"Ask what should take entries out of {first.container.name}: nothing did.")
    elif first.chain is not None:
        holder = first.chain.links[max(0, len(first.chain.links) - 2)].label
        steps.append(f"Ask why {holder} still refers to what the step made.")
    else:
        steps.append("Nothing in Python was seen to hold it: look at native code, and at cycles with it.")
    where = (first.site.user or first.site.frame) if first.site is not None else None
    if where is not None:
        steps.append(f"Start reading at {place(where)}.")
    return tuple(steps)


def _how_fine(report: LeakReport) -> tuple[str, ...]:
    nouns = {"rss_bytes": "of RSS", "allocated_blocks": "memory blocks", "tracked_objects": "objects"}
    fine = [f"{least(t)} {nouns.get(t.metric, metric_name(t.metric))}" for t in report.tests if t.least > 0]
    if not fine:
        return ("A slower leak needs more iterations to be seen.",)
    return (
        "Nothing has to be done.",
        (
            f"A leak below {' and '.join(fine)} per iteration would not have been seen;"
            " more iterations see finer."
        ),
    )

"""The text: the verdict first, every suspect with line and holder, never wider than 100 columns."""

from __future__ import annotations

import pytest
import samples
from hostile import refill, strings

from memlab.records.leak_report import ContainerGrowth, GrowthTest, Verdict
from memlab.records.memit import MemitResult
from memlab.views import words
from memlab.views.layout import WIDTH, cells, columns, fit, wrap
from memlab.views.text import render_text

RESULTS = samples.all_results()
KINDS = sorted(RESULTS)


def lines_of(result):
    return render_text(result).splitlines()


def test_the_first_line_of_a_leak_report_is_the_verdict():
    """One line says that there is a leak, of what step, how many objects and bytes."""
    assert lines_of(samples.leak_report())[0] == (
        "LEAK: each iteration of app:step leaves 3,399 objects, 451 KiB behind"
    )


def test_a_suspect_has_its_line_its_callers_line_its_holder_and_its_container():
    """What, made where, reached from where, held by whom, growing how: all with source."""
    text = render_text(samples.leak_report())
    block = " ".join(text[text.index("  1. app.models.Session") : text.index("  2. asyncio")].split())
    for said in (
        "1. app.models.Session: 3,000 objects, 319 KiB per iteration (88 % of what grows)",
        "made at app/models.py:42 in Session.__init__ self.audit = [AuditEntry(n) for n in steps]",
        'your line app/service.py:31 in handle_request session = open_session(request["…"])',
        "entry made at app/registry.py:18 in open_session _live.add(session)",
        "held by module app.registry -> ._live (set) -> [value] Session",
        "app.registry._live (set): 1,000 -> 4,000 entries, +1,000 per iteration, no bound known",
        "per iteration 1,000 app.models.Session (54.7 KiB), 1,000 app.models.AuditEntry (46.9 KiB)",
    ):
        assert said in block


def test_a_suspect_without_a_holder_says_so():
    """No chain is not an empty chain."""
    text = render_text(samples.leak_report())
    assert "held by         nothing in Python was seen to hold it" in text[text.index("  2. asyncio") :]


def test_the_table_of_tests_is_in_words_with_its_bound():
    """Each tested metric has its rate, interval, outcome and false-positive bound."""
    text = render_text(samples.leak_report())
    row = next(line for line in text.splitlines() if "Process memory (RSS)" in line)
    assert " ".join(row.split()) == "Process memory (RSS) +451 KiB +406 KiB to +496 KiB yes yes 1 in 720"


def test_what_was_not_measured_says_why():
    """A failed hunt's text gives the reason for each missing figure and never a 0."""
    lines = lines_of(samples.failed_report())
    assert lines[0].startswith("INCONCLUSIVE: app:step stopped the hunt: builtins.ValueError in iteration 56")
    figures = [line for line in lines if line.startswith(("  objects", "  memory", "  process (RSS)"))]
    assert len(figures) == 3
    for line in figures:
        assert line.endswith("not known: the step failed before it could be measured")


def test_no_leak_says_what_leak_would_have_been_seen():
    """'No leak' comes with the least growth that the run could tell."""
    text = render_text(samples.no_leak_report())
    assert text.startswith("NO LEAK: app:step left nothing behind that grew throughout 146 iterations")
    assert "1.42 KiB of RSS" in text
    assert "would not have been seen" in " ".join(text.split())


def test_memit_prints_memory_profilers_line_to_the_letter():
    """The line that scripts read."""
    assert render_text(samples.memit_result()) == "peak memory: 143.77 MiB, increment: 0.23 MiB"
    assert render_text(MemitResult((), 2**20)) == "peak memory: 1.00 MiB, increment: 0.00 MiB"
    assert render_text(MemitResult((2**20,), 2**21)) == "peak memory: 1.00 MiB, increment: -1.00 MiB"


@pytest.mark.parametrize("kind", KINDS)
def test_no_line_is_wider_than_a_hundred_columns(kind):
    """Real or hostile, every line fits a terminal of 100 cells and holds no control or direction mark."""
    results = [RESULTS[kind], *(refill(RESULTS[kind], strings(seed))[0] for seed in range(4))]
    for result in results:
        text = render_text(result)
        assert text == text.strip("\n")
        for line in text.split("\n"):
            assert cells(line) <= WIDTH
            assert line.isprintable()
            assert line == line.rstrip()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("explanation", "module app.registry -> ._live (set) -> [value] Session"),
        ("explanation", "Out[3] -> … 4 more … -> [value] list -> [7] Session"),
        ("explanation", "references    3, 2 of them seen"),
        ("snapshot", "app/models.py:42     8.00 MiB   1,001"),
        ("snapshot diff", "+4.00 MiB    +500  8.00 MiB  grew"),
        ("snapshot diff", "Growth from before to after: +4.07 MiB, +889 blocks"),
        ("capture", "Peak: 156 MiB, 108 MiB above the start (exact, the kernel's mark)"),
        ("capture", "  train  8.0 s"),
        ("timeline", "Timeline: 600 samples in 12 s"),
        ("timeline", "Process memory (USS): reading /proc/self/smaps_rollup was refused"),
    ],
)
def test_every_kind_tells_its_figures(kind, said):
    """The figure that matters stands in the text as it is written."""
    assert said in render_text(RESULTS[kind])


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_verdict_begins_with_its_own_word_and_ends_in_advice(verdict):
    """Whatever the verdict, it is the first word, and something can be done."""
    text = render_text(samples.leak_report(verdict=verdict))
    assert text.startswith(f"{verdict.value.upper()}: ")
    assert "What to do next\n  - " in text


def test_what_is_no_result_is_refused():
    """A foreign value is a TypeError that names its type."""
    with pytest.raises(TypeError, match="dict"):
        render_text({})


def gauge(minima, *, grew, sustained):
    return GrowthTest("rss_bytes", grew, sustained, 1.0, 0.5, 1.5, minima, 1 / 6)


@pytest.mark.parametrize(
    ("test", "said"),
    [
        (gauge((0, 1, 2), grew=True, sustained=True), "rose in each of 3 blocks, and went on rising"),
        (gauge((0, 1, 2), grew=True, sustained=False), "it may be filling up"),
        (gauge((0, 1, 2), grew=False, sustained=False), "by less than this metric moves on its own"),
        (
            gauge((0, 2, 1), grew=False, sustained=False),
            "rose in 1 of 2 steps between blocks: no lasting",
        ),
    ],
)
def test_a_test_is_told_as_it_came_out(test, said):
    """Grew, filled up, rose within noise, did not grow: four different sentences."""
    assert said in words.test_sentence(test)


@pytest.mark.parametrize(
    ("lengths", "bound", "said"),
    [
        ((1, 9), None, "no bound known"),
        ((1, 9), 10, "stops at 10 entries (lru_cache maxsize)"),
        ((1, 10), 10, "full: it holds at most 10 entries (lru_cache maxsize)"),
    ],
)
def test_a_bound_is_told_with_its_source(lengths, bound, said):
    """A container says whether it will stop."""
    grown = ContainerGrowth(
        "cache", "builtins.dict", lengths, 1.0, bound, "lru_cache maxsize" if bound else ""
    )
    assert words.bound_sentence(grown) == said


def test_untracked_entries_are_not_told_as_no_objects():
    """A container of strings leaves entries, not '0 objects'."""
    grown = ContainerGrowth("app.names", "builtins.list", (1, 2), 7.0)
    suspect = samples.session_suspect()
    bare = type(suspect)("builtins.str", 0.0, 350.0, 1.0, container=grown)
    text = render_text(samples.leak_report(suspects=(bare,)))
    assert "1. str: 7 untracked entries, 350 B per iteration" in text
    assert "0 objects" not in text


def test_columns_stay_straight_under_wide_letters():
    """Letters that fill two cells do not push the numbers out of line."""
    lines = columns(("name", "size"), [("内存", "1 B"), ("heap", "22 B")], (False, True), indent=0)
    assert [cells(line) for line in lines] == [10, 10, 10]


@pytest.mark.parametrize("width", [2, 5, 17, 80])
def test_nothing_wrapped_is_lost_or_too_wide(width):
    """Words longer than the line are broken; every letter is kept."""
    text = "a bb 内存泄漏检测 " + "x" * 37
    lines = wrap(text, width=width)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(cells(line) <= width for line in lines)


def test_fitting_cuts_to_cells():
    """A cut text fills no more cells than it may, wide letters included."""
    assert fit("内存泄漏", 5) == "内存…"
    assert fit("short", 5) == "short"

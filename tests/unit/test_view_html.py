"""The page: the same structure whatever a result's texts hold, self-contained, and true to the result."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
from importlib import resources

import html5lib
import nh3
import numpy as np
import pytest
import samples
from hostile import harmless, refill, strings

from memlab.errors import UsageError
from memlab.records.capture import Capture
from memlab.records.chain import Explanation
from memlab.records.columns import floats, ints
from memlab.records.leak_report import LeakReport, Protocol, Verdict
from memlab.records.memit import MemitResult
from memlab.records.sites import Sites
from memlab.records.snapshot import Snapshot
from memlab.records.snapshot_tables import SnapshotDiff, SnapshotTable
from memlab.records.timeline import Timeline
from memlab.store.capture_file import load, save
from memlab.views.html import build_page, embed_json, render_page, render_summary, write_page
from memlab.views.palette import DARK, LIGHT
from memlab.views.words import printable

RESULTS = samples.all_results()
KINDS = sorted(RESULTS)


def asset(name):
    return (resources.files("memlab.views") / "assets" / name).read_text(encoding="utf-8")


def parse(page):
    """Parse as browsers do. Our own style and script are cut out first: they are the same on every page."""
    page = page.replace(asset("report.js"), "").replace(asset("report.css"), "")
    return html5lib.parse(page, namespaceHTMLElements=False)


def texts(page):
    return "".join(parse(page).itertext())


def numbers(text):
    return set(re.findall(r"\d[\d,.]*", text))


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_names_are_shown_and_not_swallowed(kind):
    """What a hostile name says is there to be read, made visible where it would not be."""
    hostile, used = refill(RESULTS[kind], strings(3))
    shown = texts(render_page(hostile))
    found = [name for name in used if printable(name)[:40] in shown]
    assert len(found) >= len(used) * 0.4


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_asks_for_nothing_and_runs_only_its_own_script(kind):
    """No address, handler or style attribute; two script elements, of which one is inert data."""
    hostile, _ = refill(RESULTS[kind], strings(5))
    for result in (RESULTS[kind], hostile):
        tree = parse(render_page(result))
        scripts = [e.get("type") for e in tree.iter("script")]
        assert scripts == ["application/json", "module"]
        for element in tree.iter():
            for name, value in element.attrib.items():
                assert not name.startswith("on")
                assert name not in ("style", "src", "srcdoc", "action", "formaction", "xlink:href")
                if name == "href":
                    assert value == "data:," or value.startswith("#")
    assert not re.search(r"url\(|@import|https?:|\bimport\b", asset("report.css"))
    assert not re.search(
        r"https?:|\bimport\s|fetch\(|XMLHttp|WebSocket|eval\(|Function\(", asset("report.js")
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_policy_allows_exactly_the_bytes_of_the_page(kind):
    """The hashes in the content security policy are those of the style and script elements."""
    page = render_page(RESULTS[kind])
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page).group(1)
    policy = policy.replace("&#39;", "'")
    for element, directive in (("style", "style-src"), ('script type="module"', "script-src")):
        body = re.search(rf"<{element}>(.*?)</{element.split()[0]}>", page, re.DOTALL).group(1)
        digest = base64.b64encode(hashlib.sha256(body.encode("utf-8")).digest()).decode("ascii")
        assert f"{directive} 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert page.index("Content-Security-Policy") < page.index("<style>")


def test_the_script_makes_no_markup_from_text():
    """The script never assigns markup, and is small enough to be read."""
    script = asset("report.js")
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\.style\b|DOMParser", script
    )
    assert len(script.encode()) < 20_000
    assert "</" not in script.replace("</script", "")
    assert "</" not in asset("report.css")


def test_embedded_json_cannot_end_its_element_and_reads_back():
    """No letter that HTML knows is left, and a JSON reader gets the same data."""
    data = {"a": "</script><!--<script>&\u2028\u2029\x00\ud800", "b": [1, 2.5, None]}
    text = str(embed_json(data))
    assert not set("<>&\u2028\u2029\x00") & set(text)
    assert text.isascii()
    assert json.loads(text) == data


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_result_gives_the_same_bytes(kind, tmp_path):
    """Page, notebook bundle and text depend on the record alone: saving and loading changes no byte."""
    live = RESULTS[kind]
    save(live, tmp_path / "result.memlab")
    loaded = load(tmp_path / "result.memlab")
    assert render_page(loaded) == render_page(live) == render_page(live)
    assert loaded._repr_mimebundle_() == live._repr_mimebundle_()
    assert str(loaded) == str(live)


@pytest.mark.parametrize("kind", KINDS)
def test_pages_are_small_named_and_ordered(kind):
    """Under 120 KB a result, with language, title, one h1 and no heading level left out."""
    page = render_page(RESULTS[kind])
    assert len(page.encode("utf-8")) < (400_000 if kind == "report" else 120_000)
    tree = parse(page)
    assert tree.get("lang") == "en"
    assert tree.find(".//title").text.strip()
    levels = [int(e.tag[1]) for e in tree.iter() if re.fullmatch(r"h[1-6]", str(e.tag))]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    names = [e.get("id") for e in tree.iter() if e.get("id")]
    assert len(names) == len(set(names))
    for link in tree.iter("a"):
        assert link.get("href")[1:] in names
    for svg in tree.iter("svg"):
        assert svg.get("aria-hidden") == "true" or {"title", "desc"} <= {c.tag for c in svg}


def test_the_leak_report_page_tells_the_whole_story():
    """Verdict, rates, types, lines with source, holders, containers, tests and protocol are on the page."""
    shown = re.sub(r"\s+", " ", texts(samples.leak_report().to_html()))
    for said in (
        "Each iteration of app:step leaves 3,399 objects, 451 KiB behind",
        "app.models.Session",
        "88 % of what grows",
        "app/models.py:42 in Session.__init__",
        "self.audit = [AuditEntry(n) for n in steps]",
        "app/service.py:31 in handle_request",
        "_live.add(session)",
        "module app.registry",
        "._live (set)",
        "1,000 → 2,000 → 3,000 → 4,000 entries, +1,000 per iteration; no bound known",
        "Nothing in Python was seen to hold it.",
        "rose in each of 6 blocks",
        "1 in 720",
        "stops at 128 entries (lru_cache maxsize)",
        "146 (20 to warm up, 24 rounds of 5, 6 traced) in 8.4 s of 30 s",
        "it costs a walk of every mapping",
        "Allocations were traced for 6 iterations",
        "CPython 3.11.2",
    ):
        assert said in shown


def test_the_ratchet_on_the_page_is_the_tests_own():
    """Each tested metric has a chart whose block minima are as many as the test's, each above the last."""
    page = build_page(samples.leak_report())
    assert [c.title for c in page.charts] == [
        "Process memory (RSS)",
        "Python memory blocks",
        "Collector-tracked objects",
    ]
    for chart in page.charts:
        heights = [y for _, y in chart.minima]
        assert len(heights) == 6
        assert heights == sorted(heights, reverse=True)  # downwards in a picture is upwards in memory
        assert len(chart.line) == len(chart.say) == 24


def test_an_absent_figure_says_why_and_is_never_nought():
    """A failed hunt's page has no 0 for what it did not measure."""
    figures = {f.label: f for f in build_page(samples.failed_report()).figures}
    for label in ("Objects per iteration", "Memory per iteration", "RSS per iteration"):
        assert figures[label].value is None
        assert "the step failed" in figures[label].note
    page = render_page(samples.failed_report())
    assert page.count('class="value">not known<') == 3


def test_a_cut_table_says_what_was_cut():
    """Rows above the cap are counted, not hidden."""
    grown = samples.leak_report().types * 40
    page = texts(render_page(samples.leak_report(types=grown)))
    assert "The greatest 25 of 200 are listed." in page


@pytest.mark.parametrize("kind", KINDS)
def test_the_notebook_keeps_every_number_when_it_is_not_trusted(kind):
    """A sanitiser that takes frames, scripts and styles leaves each key figure and each row."""
    result = RESULTS[kind]
    summary = render_summary(result)
    kept = nh3.clean(summary)
    assert not re.search(r"<(iframe|script|style|svg)", kept)
    page = build_page(result)
    shown = nh3.clean(kept, tags=set()).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    for figure in page.figures:
        assert figure.value is None or figure.value in shown
        assert figure.note in shown.replace("&nbsp;", " ")
    for row in page.brief.rows if page.brief is not None else ():
        for cell in row:
            assert cell.text in shown
    outside = re.sub(r'srcdoc="[^"]*"', "", summary)
    assert numbers(nh3.clean(outside, tags=set())) <= numbers(shown)
    assert page.headline in shown


@pytest.mark.parametrize("kind", KINDS)
def test_the_notebook_frame_holds_the_same_page_and_may_do_nothing_but_run_it(kind):
    """The frame's text is the very page; its sandbox allows scripts and no more; a small result has none."""
    tree = html5lib.parse(render_summary(RESULTS[kind]), namespaceHTMLElements=False)
    frames = list(tree.iter("iframe"))
    if kind in {"memit", "line profile", "line profile without rise"}:  # the summary says all of it
        assert frames == []
        return
    (frame,) = frames
    assert frame.get("srcdoc") == render_page(RESULTS[kind])
    assert frame.get("sandbox") == "allow-scripts"
    assert frame.get("title")


@pytest.mark.parametrize("kind", KINDS)
def test_no_name_breaks_out_of_the_notebook_summary(kind):
    """Hostile names leave the summary's structure as it is, the frame's text included."""
    plain, _ = refill(RESULTS[kind], harmless())
    hostile, _ = refill(RESULTS[kind], strings(11))

    def outline(html):
        return [
            (str(e.tag), tuple(sorted(e.attrib)))
            for e in html5lib.parse(html, namespaceHTMLElements=False).iter()
        ]

    assert outline(render_summary(hostile)) == outline(render_summary(plain))


def empty_results():
    none = Timeline(floats([]), {"iteration": ints([])})
    return {
        "timeline": Timeline(floats([]), {}),
        "one sample": Timeline(floats([1.0]), {"rss_bytes": ints([4096])}),
        "level": Timeline(floats([0.0, 1.0]), {"rss_bytes": ints([0, 0]), "threads": ints([1, 1])}),
        "capture": Capture(Timeline(floats([]), {}, absent={"rss_bytes": "not on this platform"})),
        "snapshot": Snapshot(
            *(ints([]) for _ in range(4)), ints([0]), *(ints([]) for _ in range(3)), files=()
        ),
        "difference": SnapshotDiff.of((), by="line", total_diff_bytes=0, total_diff_blocks=0),
        "by line": SnapshotTable("line", Sites.of(()), ints([]), ints([]), 0, 0),
        "explanation": Explanation("builtins.object", (), "Nothing holds it."),
        "statement": MemitResult((), 0),
        "report": LeakReport(Verdict.INCONCLUSIVE, "too short", "app:step", Protocol(0, 0, 0, 0), none),
        "read once": LeakReport(
            Verdict.INCONCLUSIVE,
            "too short",
            "app:step",
            Protocol(1, 0, 1, 1),
            Timeline(floats([0.0]), {"iteration": ints([1]), "rss_bytes": ints([4096])}),
        ),
    }


@pytest.mark.parametrize("name", sorted(empty_results()))
def test_an_empty_result_still_makes_a_page_and_a_text(name):
    """Nothing seen is a result too: every view shows it without a fault."""
    result = empty_results()[name]
    assert texts(render_page(result)).strip()
    assert render_summary(result)
    assert str(result).strip()


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_verdict_has_its_badge_and_its_word(verdict):
    """The badge says the verdict as the record has it, in one of the known tones."""
    page = build_page(samples.leak_report(verdict=verdict))
    assert page.badge.text == verdict.value
    assert page.badge.tone in ("bad", "good", "warn", "native", "plain")
    assert page.next_steps


def test_a_page_that_cannot_be_written_is_one_clear_error(tmp_path):
    """A missing folder is a UsageError that names the path; a written page is the page."""
    write_page("<p>", tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == "<p>"
    with pytest.raises(UsageError, match=r"missing"):
        samples.memit_result().to_html(tmp_path / "missing" / "page.html")


def test_what_is_no_result_is_refused():
    """A foreign value is a TypeError that names its type."""
    with pytest.raises(TypeError, match="int"):
        render_page(3)


def contrast(one, other):
    def light(color):
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_style_sheet_uses_the_palette():
    """Each colour of the palette stands in the style sheet as it is, and no other name has a colour pair."""
    pairs = {
        name: (light, dark)
        for name, light, dark in re.findall(r"--(\w+): light-dark\((#\w+), (#\w+)\)", asset("report.css"))
    }
    assert pairs == {name: (LIGHT[name], DARK[name]) for name in LIGHT}


@pytest.mark.parametrize("colors", [LIGHT, DARK], ids=["light", "dark"])
def test_text_has_the_contrast_of_wcag_aa(colors):
    """Every text colour on every background has at least 4.5 to 1."""
    for ground in ("page", "surface", "sunken"):
        for ink in ("ink", "muted", "accent", "grew", "shrank", "good", "warn", "native"):
            assert contrast(colors[ink], colors[ground]) >= 4.5, (ink, ground)

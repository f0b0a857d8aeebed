"""The report page in a real browser: from a file, offline, with and without scripts, by mouse and keys."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))

import samples
from hostile import refill, strings

from memlab.views.html import render_summary

pytestmark = pytest.mark.browser

RESULTS = samples.all_results()


def long_report():
    """A leak report with 60 types, so that there is something to sort and to filter."""
    kind = samples.leak_report().types[0]
    types = tuple(
        dataclasses.replace(kind, type_name=f"app.models.Kind{n}", objects_per_iteration=float(n * 37 % 101))
        for n in range(60)
    )
    return samples.leak_report(types=types)


def status(page):
    return page.locator("#status").text_content()


def ground(page):
    return page.evaluate("getComputedStyle(document.documentElement).backgroundColor")


@pytest.mark.parametrize("kind", sorted(RESULTS))
def test_a_page_opens_from_a_file_without_a_request_or_a_complaint(visit, kind):
    """Every kind of page comes to life under its policy with nothing asked for and nothing logged."""
    page = visit(RESULTS[kind])
    assert page.evaluate("document.documentElement.dataset.ready") == "yes"
    assert page.locator("h1").is_visible()


def test_two_runs_of_the_lab_book_are_chosen_and_compared(visit):
    """At first the last two; a newer one than the chosen is refused, and its own list follows."""
    page = visit(RESULTS["history"])
    tables = lambda: [one.get_attribute("id") for one in page.locator("#pairs .table >> visible=true").all()]
    older, newer = page.get_by_label("Older run"), page.get_by_label("Newer run")
    assert tables() == ["pair-43-44"]
    assert older.locator("option").first.text_content() == "37 · commit 37"
    older.select_option("38")
    assert tables() == ["pair-38-44"]
    newer.select_option("40")
    assert tables() == ["pair-38-40"]
    assert status(page) == "Run 38 and run 40"
    older.select_option("41")
    assert tables() == ["pair-41-42"], "the newer one moved on"
    assert newer.locator("option:not([disabled])").first.get_attribute("value") == "42"
    assert page.locator("#pair-41-42 tbody tr").count() == 2


def test_a_heading_sorts_its_table_by_mouse_and_keyboard(visit):
    """Numbers fall first, then rise; the heading says which way, and so does the status line."""
    page = visit(long_report())
    table = page.locator("#types table")
    head = table.get_by_role("button", name="Objects")
    column = lambda: [int(t) for t in table.locator("tbody td:nth-child(2)").all_text_contents()]
    head.click()
    assert column() == sorted(column(), reverse=True)
    assert table.locator("th").nth(1).get_attribute("aria-sort") == "descending"
    assert status(page) == "Sorted by Objects, descending"
    head.press("Enter")
    assert column() == sorted(column())
    assert table.locator("th").nth(1).get_attribute("aria-sort") == "ascending"
    table.get_by_role("button", name="Type").click()
    names = table.locator("tbody td:nth-child(1)").all_text_contents()
    assert names[:3] == ["app.models.Kind0", "app.models.Kind1", "app.models.Kind2"]
    assert table.locator("th[aria-sort]").count() == 1


def test_a_filter_hides_the_rows_that_lack_its_text(visit):
    """Only rows with the text stay, the status line counts them, and an empty box brings all back."""
    page = visit(long_report())
    box = page.get_by_role("searchbox", name="Filter Types, per iteration")
    rows = page.locator("#types tbody tr:visible")
    assert rows.count() == 25
    box.fill("kind1")
    assert rows.count() == 11
    assert status(page) == "11 of 25 rows shown"
    box.fill("")
    assert rows.count() == 25


def test_the_page_turns_dark_with_the_system_and_by_its_button(visit):
    """The system's choice is followed until the button says otherwise; the button names what it does."""
    page = visit(RESULTS["leak"])
    assert ground(page) == "rgb(247, 247, 245)"
    page.emulate_media(color_scheme="dark")
    assert ground(page) == "rgb(20, 23, 26)"
    button = page.get_by_role("button", name="Light page")
    button.click()
    assert ground(page) == "rgb(247, 247, 245)"
    assert page.get_by_role("button", name="Dark page").is_visible()
    assert status(page) == "The page is light now"


def test_a_chart_is_read_by_pointer_and_by_arrow_keys(visit):
    """The readout names the reading under the cursor; keys step, jump and stop at the ends."""
    page = visit(RESULTS["leak"])
    figure = page.locator("#chart-2")
    pad = figure.get_by_role("slider", name="Reading of Collector-tracked objects")
    readout = figure.locator(".readout")
    resting = readout.text_content()
    pad.focus()
    page.keyboard.press("Home")
    assert readout.text_content() == "iteration 25: 81,204 (-101,970)"
    assert pad.get_attribute("aria-valuetext") == readout.text_content()
    page.keyboard.press("ArrowLeft")
    assert readout.text_content().startswith("iteration 25:")
    page.keyboard.press("ArrowRight")
    assert readout.text_content() == "iteration 30: 98,199 (-84,975)"
    page.keyboard.press("End")
    assert readout.text_content().startswith("iteration 140:")
    pad.blur()
    assert readout.text_content() == resting
    pad.hover()
    assert readout.text_content().startswith("iteration ")
    page.mouse.move(0, 0)
    assert readout.text_content() == resting


def test_a_place_is_copied(visit):
    """The button puts file and line on the clipboard and says so."""
    page = visit(long_report())
    page.get_by_role("button", name="Copy app/models.py:42").first.click()
    page.locator("#status", has_text="Copied app/models.py:42").wait_for(state="attached")
    box = page.get_by_role("searchbox").first
    box.focus()
    page.keyboard.press("ControlOrMeta+v")
    assert box.input_value() == "app/models.py:42"


def test_links_go_to_their_section_and_take_the_focus_there(visit):
    """A link of the contents scrolls and focuses, without leaving the page."""
    page = visit(RESULTS["leak"])
    page.get_by_role("navigation").get_by_role("link", name="The evidence").click()
    assert page.evaluate("document.activeElement.id") == "evidence"


def test_the_first_tab_offers_to_skip_and_focus_is_always_seen(visit):
    """Tab walks the page from the skip link on; what has the focus has an outline."""
    page = visit(RESULTS["leak"])
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the result"
    for _ in range(12):
        page.keyboard.press("Tab")
        style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert style not in ("", "none"), page.evaluate("document.activeElement.outerHTML")


def test_the_page_reads_whole_without_scripts(visit):
    """With scripts off every table, chart and section is there, and no button that would do nothing."""
    page = visit(RESULTS["leak"], java_script_enabled=False)
    assert page.locator("button:visible, input:visible").count() == 0
    assert page.locator("table:visible").count() == 7
    assert page.locator("svg[role=img]:visible").count() == 3
    for said in ("app/models.py:42 in Session.__init__", "module app.registry", "1 in 720"):
        assert page.get_by_text(said).first.is_visible()
    stack = page.locator("details.stack").first
    stack.locator("summary").click()
    assert stack.get_by_text("app/__init__.py:9 in step").is_visible()


def test_print_is_light_complete_and_without_controls(visit):
    """On paper a dark page is white, folded parts are open, and buttons are gone."""
    page = visit(RESULTS["leak"], color_scheme="dark")
    page.emulate_media(media="print")
    assert ground(page) == "rgb(255, 255, 255)"
    assert page.locator("button.copy:visible, button.theme:visible, nav:visible").count() == 0
    assert page.locator("details:not([open]) li").first.is_visible()
    document = page.pdf(format="A4")
    assert document.startswith(b"%PDF-")
    assert document.count(b"/Type /Page\n") <= 6
    page.emulate_media(media="screen")
    assert not page.locator("details:not([open]) li").first.is_visible()


@pytest.mark.parametrize("kind", sorted(RESULTS))
def test_nothing_sticks_out_of_a_narrow_window(visit, kind):
    """At 360 pixels the page itself does not scroll sideways; wide tables do so in their own box."""
    for result in (RESULTS[kind], refill(RESULTS[kind], strings(21))[0]):
        page = visit(result, viewport={"width": 360, "height": 700})
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("seed", range(20))
def test_hostile_names_do_nothing_in_a_browser(visit, seed):
    """A page of hostile names opens no dialog, logs nothing, asks for nothing and has its two scripts."""
    kind = sorted(RESULTS)[seed % len(RESULTS)]
    page = visit(refill(RESULTS[kind], strings(seed))[0])
    assert page.locator("script").count() == 2
    assert page.locator("img, iframe").count() == 0
    assert page.evaluate("document.documentElement.dataset.ready") == "yes"


def test_the_notebooks_frame_shows_the_same_living_page(visit):
    """In its sandboxed frame the page sorts, copies and follows its own links without leaving the frame."""
    page = visit(f"<!doctype html><title>notebook</title>{render_summary(long_report())}")
    frame = page.frame_locator("iframe")
    frame.locator("html[data-ready=yes]").wait_for(state="attached")
    frame.locator("#types").get_by_role("button", name="Objects").click()
    assert frame.locator("#status").text_content() == "Sorted by Objects, descending"
    frame.get_by_role("link", name="How it was run").click()
    assert frame.locator("h1").text_content().startswith("Each iteration of app:step")
    assert len(page.frames) == 2
    frame.get_by_role("button", name="Copy app/models.py:42").first.click()
    frame.locator("#status", has_text="Copied app/models.py:42").wait_for(state="attached")
    assert page.get_by_text("What to do next").first.is_visible()

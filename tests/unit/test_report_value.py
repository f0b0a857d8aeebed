"""memlab.Report: results, tables and prose in one value and on one page."""

from __future__ import annotations

import html5lib
import pytest

import memlab
from memlab.errors import UsageError
from memlab.views.html import render_page
from tests.unit import samples


class Secret:
    """Its repr must appear nowhere."""

    def __repr__(self):
        return "planted-secret"


def test_the_contents_lead_to_every_headed_part():
    """Each heading is listed once, and each link of the list leads to an element of the page."""
    headings = ["The leak", "The numbers", "What <b>follows</b>"]
    report = memlab.Report(
        "Tuesday",
        [(headings[0], samples.leak_report()), (headings[1], [{"a": 1}]), (headings[2], "Prose.")],
    )
    tree = html5lib.parse(render_page(report), namespaceHTMLElements=False)
    links = [a for nav in tree.iter("nav") for a in nav.iter("a") if a.get("href", "").startswith("#")]
    ids = {element.get("id") for element in tree.iter()}
    assert all(link.get("href")[1:] in ids for link in links)
    listed = ["".join(link.itertext()).strip() for link in links]
    assert [text for text in listed if text in headings] == headings


def test_a_report_is_loaded_as_it_was_saved(tmp_path):
    """The loaded value is equal and makes the same page."""
    report = memlab.Report("Tuesday", ["Prose.", samples.leak_report(), [{"a": 1, "b": "x"}]])
    report.save(tmp_path / "r.memlab")
    loaded = memlab.load(tmp_path / "r.memlab")
    assert loaded == report
    assert render_page(loaded) == render_page(report)


def test_a_table_keeps_no_repr():
    """Of a cell that is no number, text or date, only the type is kept."""
    report = memlab.Report("T", [[{"cell": Secret(), "n": 2}]])
    page = render_page(report)
    assert "planted-secret" not in page + str(report) + str(report.to_dict())
    assert "Secret" in page


@pytest.mark.parametrize(
    ("title", "parts", "said"),
    [
        ("", [], "title must be a text"),
        ("T", "text", "parts come as a list"),
        ("T", [3], "cannot show a builtins.int"),
        ("T", [("only a heading",)], "a tuple is a heading"),
        ("T", [[{"a": 1}, {"b": 1}]], "same keys"),
    ],
)
def test_what_is_no_part_is_refused_in_one_sentence(title, parts, said):
    """The sentence names what a report takes."""
    with pytest.raises(UsageError, match=said) as caught:
        memlab.Report(title, parts)
    assert "\n" not in str(caught.value)

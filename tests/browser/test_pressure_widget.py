"""The pressure widget's script in a browser, with a model that holds its state alone."""

from __future__ import annotations

import json

import pytest

from memlab.faces.ipython.pressure_widget import SCENARIOS
from memlab.views.html import pressure_assets

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

STATE = {
    "scenarios": [list(pair) for pair in SCENARIOS],
    "scenario": "spike",
    "budget": "128 MiB",
    "subject": "cache <b>shop</b>:make",
    "request": {"number": 0},
    "running": False,
    "status": "Ready.",
    "picture": {
        "budget": 128 * 2**20,
        "seconds": 3.0,
        "t": [0.0, 1.0, 2.0, 3.0],
        "rss": [2**24, 2**26, 2**26, 2**24],
        "ballast": [0, 2**25, 2**25, 0],
        "phases": [[0.0, "calm"], [1.0, "spike"], [1.02, "hold"], [2.0, "recovery"]],
    },
    "table": [["phase", "lasted"], ["calm", "1.0 s"]],
}


@pytest.fixture
def page(chromium):
    script, style = pressure_assets()
    state = json.dumps(STATE).replace("<", "\\u003c")
    run = f"""
      const state = {state};
      const heard = {{}};
      const model = {{
        get: (name) => state[name],
        set: (name, value) => {{ state[name] = value; }},
        on: (name, call) => {{ heard[name] = call; }},
        off: () => {{}},
        save_changes: () => {{ document.title = JSON.stringify(state.request); }},
      }};
      window.change = (name, value) => {{ state[name] = value; heard[`change:${{name}}`](); }};
      const el = document.createElement("div");
      document.body.append(el);
      widget.render({{ model, el }});
      document.title = "ready";
    """
    script = script.replace("export default {", "const widget = {")
    context = chromium.new_context(viewport={"width": 900, "height": 700}, offline=True)
    opened = context.new_page()
    opened.set_content(
        f"<!doctype html><meta charset='utf-8'><style>.memlab-pressure {{ {style} }}</style>"
        f"<body><script type='module'>{script}{run}</script>"
    )
    opened.wait_for_function("document.title === 'ready'")
    yield opened
    context.close()


def test_the_widget_draws_its_state_and_asks_by_a_click(page):
    """Controls, line, shade, budget, phases with room for their names, table; a click writes a request."""
    assert page.locator("select option").all_text_contents() == [label for _, label in SCENARIOS]
    assert page.locator("svg .rss").get_attribute("points").count(",") == 4
    assert page.locator("svg .budget").count() == 1
    assert page.locator("svg .phase").count() == 4
    names = page.locator("svg .tick").all_text_contents()
    assert {"calm", "spike", "recovery"} <= set(names)
    assert "hold" not in names, "there is no room for it"
    assert page.locator("tbody td").all_text_contents() == ["calm", "1.0 s"]
    assert page.locator(".subject").text_content() == "cache <b>shop</b>:make"
    assert page.get_by_role("button", name="Stop").is_disabled()
    page.get_by_label("Scenario").select_option("oom")
    page.get_by_label("Budget").fill("96 MiB")
    page.get_by_role("button", name="Run").click()
    request = json.loads(page.title())
    assert request == {"action": "run", "scenario": "oom", "budget": "96 MiB", "number": 1}


def test_the_widget_follows_its_state(page):
    """While it runs only Stop can be pressed; an empty picture draws an empty frame."""
    page.evaluate("change('running', true); change('picture', {}); change('table', [])")
    assert page.get_by_role("button", name="Run").is_disabled()
    assert page.get_by_role("button", name="Stop").is_enabled()
    assert page.locator("svg .rss").count() == 0
    page.evaluate("change('status', '1.0 s, spike')")
    assert page.get_by_role("status").text_content() == "1.0 s, spike"
    assert page.locator("svg").get_attribute("aria-label") == "1.0 s, spike"

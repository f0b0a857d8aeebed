"""How large the page of a real difference is, how fast it opens, and how smooth 100,000 frames are.

Run alone: ``python benchmarks/flame_page.py [--rounds 5] [--keep folder]``. It needs pandas and Chromium.

Two captures of a pandas program (a join, groups, a pivot; 25 frames a block) are compared, and two that
memray made with C frames where it is installed; the page is written and opened from its file in headless
Chromium with the network cut off. Times are the browser's own (``performance``), medians of the rounds; the
machine's load is printed, for nothing here is isolated from it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "browser"))

import memlab

DEPTH = 25
TARGET_BYTES = 1024 * 1024
TARGET_MS = 2000

ACTS = {
    "zoom in": "document.querySelectorAll('.flame-room .frame')[3].click()",
    "zoom out": "[...document.querySelectorAll('.flame-buttons button')].at(-1).click()",
    "search": (
        "(() => { const box = document.querySelector('.flame-bar input'); box.value = 'file1';"
        " box.dispatchEvent(new Event('input')); })()"
    ),
    "turn round": "document.querySelector('.flame-buttons button').click()",
}


def shop(rows: int, keep: list[object]) -> None:
    """Join, group and pivot some sales, and keep what came of it."""
    import numpy as np
    import pandas as pd

    chance = np.random.default_rng(rows)
    sales = pd.DataFrame(
        {
            "day": pd.date_range("2026-01-01", periods=rows, freq="min"),
            "shop": chance.integers(0, 40, rows),
            "item": [f"item-{n}" for n in chance.integers(0, 900, rows)],
            "price": chance.random(rows) * 100,
        }
    )
    shops = pd.DataFrame({"shop": range(40), "town": [f"town {n % 7}" for n in range(40)]})
    joined = sales.merge(shops, on="shop")
    keep.append(joined.groupby(["town", "item"])["price"].agg(["sum", "mean", "count"]))
    keep.append(joined.pivot_table(index="item", columns="town", values="price", aggfunc="sum"))
    keep.append(joined[joined.price > 50].sort_values("price"))


def compare() -> object:
    """Return the difference of two captures of the program: imports, one run, then a larger one."""
    tracemalloc.start(DEPTH)
    keep: list[object] = []
    shop(20_000, keep)
    before = memlab.snapshot("first day")
    shop(60_000, keep)
    after = memlab.snapshot("second day")
    tracemalloc.stop()
    return after.diff(before)


def compare_native() -> object:
    """Return the difference of two of memray's captures of the program, C frames included."""
    keep: list[object] = []
    shop(1_000, keep)  # imports
    snapshots = []
    for label, rows in (("first day", 20_000), ("second day", 60_000)):
        with memlab.NativeTrace(label) as trace:
            shop(rows, keep)
        snapshots.append(trace.leaked)
    return snapshots[1].diff(snapshots[0])


def open_page(browser: object, path: Path) -> tuple[dict[str, float], list[str]]:
    """Open a page from its file; return the browser's times in ms, and all that it asked for or logged."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})  # type: ignore[attr-defined]
    page, heard = context.new_page(), []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("request", lambda asked: heard.append(asked.url) if asked.url != path.as_uri() else None)
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-flame=ready]")
    times = page.evaluate(
        """() => { const e = performance.getEntriesByType("navigation")[0];
                   return { ready: e.domContentLoadedEventEnd, load: e.loadEventEnd }; }"""
    )
    for name, act in ACTS.items():
        times[name] = page.evaluate(
            f"""async () => {{ const t = performance.now(); {act};
              await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
              return performance.now() - t; }}"""
        )
    times["drawn"] = page.locator(".flame-room .frame").count()
    context.close()
    return times, heard


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--keep", type=Path, help="folder to leave the pages in")
    given = options.parse_args()
    from conftest import ARGUMENTS, find_chromium
    from playwright.sync_api import sync_playwright
    from test_flame_page import wide_tree

    folder = given.keep or Path(tempfile.mkdtemp())
    folder.mkdir(exist_ok=True)
    diff = compare()
    pages = {}
    results = {"diff of a pandas program": diff, "100,000 frames": wide_tree()}
    with contextlib.suppress(memlab.UnavailableError, memlab.MissingExtraError):
        results["diff of native captures"] = compare_native()
    for name, result in results.items():
        started = time.process_time()
        path = folder / f"{name.replace(' ', '-').replace(',', '')}.html"
        size = len(result.to_html(path).encode())  # type: ignore[attr-defined]
        pages[name] = (path, size, time.process_time() - started)
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores, {given.rounds} rounds, medians\n")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=ARGUMENTS)
        for name, (path, size, made_s) in pages.items():
            rounds, heard = [], []
            for _ in range(given.rounds):
                times, said = open_page(browser, path)
                rounds.append(times)
                heard += said
            middle = {key: statistics.median(times[key] for times in rounds) for key in rounds[0]}
            print(f"{name}: {size / 1024:,.0f} KiB, made in {made_s:.2f} s of CPU")
            print(f"  requests, console lines and errors: {len(heard)}")
            for key, value in middle.items():
                print(f"  {key:<12}{value:>8.0f}{'' if key == 'drawn' else ' ms'}")
            if name.startswith("diff"):
                met = size < TARGET_BYTES and middle["load"] < TARGET_MS and not heard
                print(f"  below 1 MiB, open in 2 s, quiet: {'yes' if met else 'no'}")
        browser.close()


if __name__ == "__main__":
    main()

"""Python 3.12 shows the collector dead iterators of ``_asyncio``; memlab must never refer to one of them."""

from __future__ import annotations

import subprocess
import sys

import pytest

# An awaited future leaves a dead iterator in the freelist of _asyncio.
PROGRAM = """
import asyncio, gc
import memlab

async def main():
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    loop.call_soon(future.set_result, None)
    await future

class Thing:
    pass

kept = []

def step():
    kept.append(Thing())

asyncio.run(main())
{call}
gc.collect()
asyncio.run(main())
gc.collect()
print("alive")
"""


@pytest.mark.parametrize(
    "call",
    ["kept.append(Thing()); memlab.why(kept[0])", "memlab.find_leaks(step, iterations=300, budget_s=2)"],
    ids=["why", "find_leaks"],
)
def test_a_collection_after_the_search_still_ends(call):
    """After a search the collector runs to its end and asyncio works on."""
    command = [sys.executable, "-c", PROGRAM.format(call=call)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "alive\n", done.stderr[-2000:]

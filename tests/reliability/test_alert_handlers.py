"""Ten thousand ticks with the worst of handlers beside good ones: the good ones get all of theirs."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time

import memlab
from memlab.lab.alerts import MemoryAlertSystem

TICKS = 10_000
PERIOD = 20
"""Ticks between two crossings: up over both lines, and down again."""


def pressure(tick):
    return 95 if tick // PERIOD % 2 else 10


def expected():
    """Return what a handler must get."""
    probe = MemoryAlertSystem(limit_bytes=100, reader=iter(map(pressure, range(TICKS))).__next__)
    return [alert for _ in range(TICKS) for alert in probe.tick()]


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return condition()


def test_ten_thousand_ticks_with_sick_handlers_in_threads():
    """Raise, hang, return nonsense, leave, call memlab, close the monitor: three good ones get 100 %."""
    release = threading.Event()
    got = [[], [], []]
    alerts = MemoryAlertSystem(
        limit_bytes=100, reader=iter(map(pressure, range(TICKS))).__next__, handler_timeout=1.0
    )

    def raises(alert, details):
        raise RuntimeError

    def hangs(alert, details):
        release.wait()

    def leaves(alert, details):
        sys.exit(1)

    def nonsense(alert, details):
        details.clear()
        return object()

    def measures(alert, details):
        alerts.status()
        with memlab.MemoryMonitor() as monitor:
            monitor.read(uss=False)

    def closes(alert, details):
        alerts.monitor.close()
        alerts.stop_monitoring()

    async def later(alert, details):
        await asyncio.sleep(0)
        got[2].append(alert)

    def third(alert, details):
        return later(alert, details)

    handlers = (raises, hangs, lambda a, d: got[0].append(a), leaves, nonsense, measures, closes)
    for handler in (*handlers, lambda a, d: got[1].append(a), third):
        alerts.add_handler(handler)
    named_after = None
    try:
        for tick in range(TICKS):
            alerts.tick()
            if tick == PERIOD + 3:
                # A tick of a real watch is at least milliseconds; here they come as fast as they can.
                wait_for(lambda: raises.__qualname__ in alerts.status()["sick"])
                wait_for(lambda: hangs.__qualname__ in alerts.status()["sick"])
                named_after = alerts.status()["sick"]
        wanted = expected()
        assert len(wanted) == TICKS // PERIOD // 2 * 3 - 1
        assert wait_for(lambda: [len(g) for g in got] == [len(wanted)] * 3)
        assert got == [wanted] * 3
        assert wait_for(lambda: alerts.status()["handlers"][measures.__qualname__]["done"] == len(wanted))
        status = alerts.status()
        assert {raises.__qualname__, hangs.__qualname__} <= set(named_after)
        assert set(status["sick"]) == {f.__qualname__ for f in (raises, hangs, leaves)}
        assert status["handlers"][raises.__qualname__]["state"] == "benched"
        assert status["handlers"][hangs.__qualname__]["state"] == "hanging"
        assert status["handlers"][nonsense.__qualname__]["state"] == "ok"
        assert status["ticks"] == TICKS
    finally:
        release.set()
        alerts.close()
        gc.collect()


def test_ten_thousand_ticks_with_sick_coroutines_in_a_loop():
    """The same with coroutine functions, in one event loop with the program's own tasks."""
    got = []

    async def raises(alert, details):
        raise RuntimeError

    async def hangs(alert, details):
        await asyncio.sleep(3600)

    async def good(alert, details):
        await asyncio.sleep(0)
        got.append(alert)

    async def main():
        alerts = MemoryAlertSystem(
            limit_bytes=100,
            reader=iter(map(pressure, range(TICKS))).__next__,
            handler_timeout=1.0,
            check_interval=3600,
        )
        for handler in (raises, hangs, good):
            alerts.add_handler(handler)
        alerts._loop = asyncio.get_running_loop()  # as start_monitoring does, without its clock
        for tick in range(TICKS):
            alerts.tick()
            if tick % PERIOD == 0:
                await asyncio.sleep(0)
        wanted = expected()
        for _ in range(2000):
            if len(got) == len(wanted) and len(alerts.status()["sick"]) == 2:
                break
            await asyncio.sleep(0.005)
        assert got == wanted
        assert set(alerts.status()["sick"]) == {raises.__qualname__, hangs.__qualname__}
        alerts.close()

    asyncio.run(main())

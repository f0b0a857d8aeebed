"""Alerts: one a crossing, to handlers that can harm neither the watch nor each other."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time
import types

import pytest

import memlab
from memlab.errors import UsageError
from memlab.lab.alerts import MemoryAlertSystem
from memlab.lab.pressure import MemoryPressureSimulator
from tests.kit.everyline import interrupt_everywhere


def system(values, **options):
    """Return a system that reads these percentages one after the other, and the last one for ever."""
    values = list(values)

    def reader():
        return values.pop(0) if len(values) > 1 else values[0]

    options.setdefault("check_interval", 0.005)
    return MemoryAlertSystem(limit_bytes=100, reader=reader, **options)


def ticks(alerts, count):
    return [alert for _ in range(count) for alert in alerts.tick()]


def wait_for(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.002)
    assert condition()


async def until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:  # noqa: ASYNC110 - a test looks from outside
        await asyncio.sleep(0.002)
    assert condition()


# -- crossings


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([10, 69, 10], []),
        ([10, 70, 70, 71, 70], ["warning"]),
        ([10, 90], ["warning", "critical"]),
        ([75, 90, 90, 75], ["warning", "critical"]),
        ([75, 66, 75, 66, 75], ["warning"]),  # inside the band: no second alert
        ([75, 64, 75], ["warning", "recovered", "warning"]),
        ([90, 81, 90], ["warning", "critical"]),
        ([90, 79, 90], ["warning", "critical", "critical"]),
        ([90, 10, 10], ["warning", "critical", "recovered"]),
        ([100, 200, 100], ["warning", "critical"]),
    ],
)
def test_one_alert_a_crossing_and_never_one_a_tick(values, expected):
    """Levels are entered at a threshold and left some way below it."""
    assert ticks(system(values), len(values)) == expected


def test_details_say_what_was_read_against_what():
    """Each handler gets a dictionary of its own."""
    alerts = system([50, 72, 90])
    seen, spoiled = [], []

    def spoil(alert, details):
        details.clear()
        spoiled.append(alert)

    alerts.add_handler(spoil)
    alerts.add_handler(lambda alert, details: seen.append((alert, details)))
    with alerts:
        wait_for(lambda: len(seen) == 2)
    (warning, details), (critical, _) = seen
    assert (warning, critical) == ("warning", "critical")
    assert spoiled == ["warning", "critical"]
    assert (details["used_bytes"], details["limit_bytes"], details["fraction"]) == (72, 100, 0.72)
    assert (details["threshold"], details["source"]) == (0.7, "limit_bytes")
    assert details["time"].endswith("+00:00")
    assert [a["alert"] for a in alerts.alerts] == ["warning", "critical"]


def test_by_default_the_real_ceiling_counts_with_all_that_uses_it_up():
    """Other processes fill the machine: that is a warning too."""
    reading = types.SimpleNamespace(
        limit_bytes=1000, available_bytes=250, absent={}, sources={"limit_bytes": "physical memory"}
    )
    monitor = types.SimpleNamespace(read=lambda *, uss: reading, rss_bytes=lambda: 5)
    alerts = MemoryAlertSystem(monitor=monitor)
    assert alerts.tick() == ("warning",)
    assert alerts.alerts[0]["source"] == "physical memory"
    assert alerts.alerts[0]["used_bytes"] == 750


def test_what_cannot_be_read_is_counted_and_no_alert():
    """Neither a 0 nor an error; the reason stands in the status."""
    reading = types.SimpleNamespace(
        limit_bytes=None, available_bytes=None, absent={"limit_bytes": "no /proc"}, sources={}
    )
    monitor = types.SimpleNamespace(read=lambda *, uss: reading, rss_bytes=lambda: None)
    alerts = MemoryAlertSystem(monitor=monitor)
    assert alerts.tick() == ()
    assert (alerts.status()["unread"], alerts.status()["reason"]) == (1, "no /proc")
    alerts = MemoryAlertSystem(limit_bytes=10, monitor=monitor)
    assert alerts.tick() == ()
    assert "cannot be read" in alerts.status()["reason"]

    def broken():
        raise ValueError("a secret")

    alerts = MemoryAlertSystem(limit_bytes=10, reader=broken)
    assert alerts.tick() == ()
    assert alerts.status()["reason"] == "the reader raised builtins.ValueError"


# -- the founding thresholds


def test_real_memory_raises_both_alerts_and_recovers():
    """Against a limit of its own, at an interval of 0.02 s; how soon: benchmarks/pressure.py."""
    with MemoryPressureSimulator("96 MiB") as simulator:
        limit = int((simulator.get_memory_usage() + 80) * 2**20)
        start = simulator.get_memory_usage() * 2**20 / limit
        warning = start + (1 - start) * 0.4
        came = {}
        alerts = MemoryAlertSystem(warning, start + (1 - start) * 0.7, 0.02, limit, hysteresis=0.01)
        alerts.add_handler(lambda alert, details: came.setdefault(alert, time.monotonic()))
        with alerts:
            time.sleep(0.1)
            assert came == {}
            simulator.allocate_memory(70)
            wait_for(lambda: "critical" in came)
            simulator.release_memory()
            wait_for(lambda: "recovered" in came)
    assert list(came) == ["warning", "critical", "recovered"]


# -- the coroutine form


def test_the_coroutine_runs_until_it_is_stopped():
    """As a task, beside the program's own; a plain handler and a coroutine function get the same."""
    plain, awaited = [], []

    async def handler(alert, details):
        await asyncio.sleep(0)
        awaited.append((alert, threading.current_thread()))

    async def main():
        alerts = system([10, 75, 90, 40])
        alerts.add_handler(handler)
        alerts.add_handler(lambda alert, details: plain.append((alert, threading.current_thread())))
        watch = asyncio.create_task(alerts.start_monitoring())
        await until(lambda: len(awaited) == 3)
        assert alerts.is_alive
        await alerts.stop_monitoring()
        await watch
        assert not alerts.is_alive

    asyncio.run(main())
    assert [a for a, _ in awaited] == [a for a, _ in plain] == ["warning", "critical", "recovered"]
    assert {thread for _, thread in awaited} == {threading.main_thread()}
    assert threading.main_thread() not in {thread for _, thread in plain}


def test_stopping_needs_no_await_and_a_cancelled_task_is_cancelled():
    """Both ways in which people end a task."""

    async def main():
        alerts = system([10])
        watch = asyncio.create_task(alerts.start_monitoring())
        await asyncio.sleep(0.02)
        alerts.stop_monitoring()
        await asyncio.wait_for(watch, 2)
        again = asyncio.create_task(alerts.start_monitoring())
        await asyncio.sleep(0.02)
        again.cancel()
        with pytest.raises(asyncio.CancelledError):
            await again
        assert not alerts.status()["monitoring"]
        async with system([10, 90]) as block:
            await until(lambda: block.alerts)
        assert not block.is_alive

    asyncio.run(main())


def test_a_coroutine_that_hangs_is_ended_and_delays_nobody():
    """It is cancelled after its time, counted, and benched after three in a row."""
    good = []

    async def hangs(alert, details):
        await asyncio.sleep(1000)

    async def fine(alert, details):
        good.append(alert)

    async def main():
        alerts = system([10, 90] * 10 + [10], handler_timeout=0.02)
        alerts.add_handler(hangs)
        alerts.add_handler(fine)
        watch = asyncio.create_task(alerts.start_monitoring())
        await until(lambda: alerts.status()["handlers"][hangs.__qualname__]["state"] == "benched")
        await until(lambda: len(good) == 30)
        await alerts.stop_monitoring()
        await watch
        status = alerts.status()
        assert status["sick"] == [hangs.__qualname__]
        assert status["handlers"][hangs.__qualname__]["last_error"] == "TimeoutError"

    asyncio.run(main())
    assert good == ["warning", "critical", "recovered"] * 10


# -- handlers that misbehave


def test_a_handler_that_raises_is_named_counted_and_benched_after_three_in_a_row():
    """The type of its exception is kept, its text is not; the other one gets all."""
    good = []

    def raises(alert, details):
        raise KeyError("a secret")

    alerts = system([10])
    alerts.add_handler(raises)
    alerts.add_handler(lambda alert, details: good.append(alert))
    values = [10, 90] * 20
    alerts._reader = lambda: values.pop(0)
    name = raises.__qualname__
    assert ticks(alerts, 2) == ["warning", "critical"]
    wait_for(lambda: alerts.status()["handlers"][name]["failed"] == 2)
    assert alerts.status()["sick"] == [name]
    ticks(alerts, 38)
    wait_for(lambda: len(good) == 20 * 3 - 1)
    wait_for(lambda: alerts.status()["handlers"][name]["missed"] == 20 * 3 - 1 - 3)  # a worker of its own
    record = alerts.status()["handlers"][name]
    assert (record["state"], record["failed"], record["last_error"]) == ("benched", 3, "KeyError")
    assert record["missed"] + record["failed"] == 20 * 3 - 1
    assert "secret" not in str(alerts.status())
    alerts.close()


def test_a_handler_that_hangs_is_named_within_three_ticks_and_may_come_back():
    """A thread cannot be killed: it is fenced off, and what it missed is counted."""
    release = threading.Event()
    came = []

    def hangs(alert, details):
        came.append(alert)
        release.wait()

    values = [90, 10, 90, 10, 90]
    alerts = MemoryAlertSystem(limit_bytes=100, reader=lambda: values.pop(0), handler_timeout=0.02)
    alerts.add_handler(hangs)
    alerts.tick()
    wait_for(lambda: alerts.status()["handlers"][hangs.__qualname__]["state"] == "hanging")
    alerts.tick()
    assert alerts.status()["sick"] == [hangs.__qualname__]
    assert alerts.status()["handlers"][hangs.__qualname__]["missed"] == 1
    release.set()
    wait_for(lambda: alerts.status()["handlers"][hangs.__qualname__]["state"] == "ok")
    alerts.tick()
    wait_for(lambda: len(came) >= 3)
    alerts.close()


def test_a_handler_may_stop_the_watch_or_leave_the_process_and_nothing_hangs():
    """Calls of memlab, of the system itself, SystemExit."""
    done = []

    def stops(alert, details):
        alerts.stop_monitoring()
        done.append(alerts.status()["monitoring"])

    def leaves(alert, details):
        sys.exit(3)

    def measures(alert, details):
        done.append(memlab.MemoryMonitor().read(uss=False).rss_bytes is not None)

    alerts = system([10, 90])
    for handler in (stops, leaves, measures):
        alerts.add_handler(handler)
    alerts.start_thread()
    wait_for(lambda: len(done) >= 4)
    wait_for(lambda: not alerts.is_alive)
    assert set(done) == {False, True}
    alerts.close()


def test_a_handler_may_return_anything_and_an_awaitable_is_awaited():
    """A plain function that returns a coroutine is as good as a coroutine function."""
    awaited = []

    async def later():
        awaited.append(1)

    alerts = system([10, 90])
    for handler in (lambda *_: later(), lambda *_: NotImplemented, lambda *_: 10**100):
        alerts.add_handler(handler)
    with alerts:
        wait_for(lambda: len(awaited) == 2)
        wait_for(lambda: all(h["done"] == 2 for h in alerts.status()["handlers"].values()))
    assert alerts.status()["sick"] == []
    assert len(alerts.status()["handlers"]) == 3, "handlers of one name are told apart"


def test_a_watch_whose_thread_dies_is_not_alive():
    """A fault in the tick itself shows in the status, and is not raised into the program."""
    alerts = system([10])
    alerts.start_thread()
    wait_for(lambda: alerts.is_alive)
    alerts._crossed = None  # a fault of our own making
    wait_for(lambda: not alerts.is_alive, 2)
    assert alerts.status()["failure"] == "builtins.TypeError"
    alerts.close()


def test_a_handler_can_be_taken_away():
    """By the function that was added; one that was not is an error."""
    seen = []
    alerts = system([10, 90, 10])
    alerts.add_handler(seen.append)
    alerts.remove_handler(seen.append)
    ticks(alerts, 3)
    assert seen == []
    with pytest.raises(UsageError, match="was not added"):
        alerts.remove_handler(seen.append)


def test_an_interrupt_at_any_line_leaves_no_thread():
    """Starting and stopping, interrupted at every line: no thread stays, and it can be started again."""
    alerts = system([10])

    def use():
        try:
            alerts.start_thread()
        finally:
            alerts.stop_monitoring()

    def state():
        alerts.close()
        return {"threads": threading.active_count(), "monitoring": alerts.status()["monitoring"]}

    lines, residue = interrupt_everywhere(use, state)
    assert lines > 20
    assert residue == []


# -- wrong use


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"warning_threshold": 0.9, "critical_threshold": 0.8}, "must be below"),
        ({"warning_threshold": 0}, "fraction"),
        ({"critical_threshold": 85}, "fraction"),
        ({"check_interval": 0}, "check_interval"),
        ({"check_interval": float("inf")}, "check_interval"),
        ({"handler_timeout": "5"}, "handler_timeout"),
        ({"hysteresis": 0.7}, "hysteresis"),
        ({"limit_bytes": 0}, "above 0"),
        ({"limit_bytes": "lots"}, "cannot read the size"),
        ({"limit_bytes": 1.5}, "number of bytes"),
        ({"reader": lambda: 1}, "needs limit_bytes"),
    ],
)
def test_wrong_arguments_are_one_sentence(options, said):
    """Each names what would do."""
    with pytest.raises(UsageError, match=said):
        MemoryAlertSystem(**options)


def test_it_is_started_once_at_a_time_and_stopped_as_often_as_one_likes():
    """A second start is refused; a second stop does nothing; then it can be started again."""
    alerts = system([10])
    alerts.stop_monitoring()
    alerts.start_thread()
    with pytest.raises(UsageError, match="monitoring already"):
        alerts.start_thread()
    alerts.stop_monitoring()
    alerts.stop_monitoring()
    alerts.start_thread()
    alerts.close()
    with pytest.raises(UsageError, match="a handler is a function"):
        alerts.add_handler("print")


def test_arguments_are_attributes():
    """Readable under their own names."""
    alerts = MemoryAlertSystem(0.5, 0.6, 2.0, "1 GiB")
    assert (alerts.warning_threshold, alerts.critical_threshold) == (0.5, 0.6)
    assert (alerts.check_interval, alerts.limit_bytes) == (2.0, 2**30)
    assert alerts.status()["limit"] == "1.00 GiB"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

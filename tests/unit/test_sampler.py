"""The sampler: what the thread reads, what the columns keep, and how it ends."""

import gc
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memlab.collectors.probe import Metric
from memlab.collectors.sampler import Columns, Sampler, envelope
from memlab.errors import UnavailableError, UsageError


class FakeProbe:
    """A probe with a script for each metric: ints are answers, an exception is raised, the last one stays."""

    def __init__(self, clock=time.monotonic, **scripts):
        self.clock = clock
        self.scripts = {name: list(script) for name, script in scripts.items()}
        self.closed = 0

    def metric(self, name):
        if name not in self.scripts:
            raise UnavailableError("not on this machine")
        return Metric(name, "script", lambda: self._next(name))

    def _next(self, name):
        script = self.scripts[name]
        answer = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self):
        self.closed += 1


def until(condition, seconds=5):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.002)


def test_it_samples_between_start_and_stop_at_its_interval():
    with Sampler(interval_s=0.005) as sampler:
        assert sampler.is_alive
        time.sleep(0.2)
    timeline = sampler.timeline
    assert 10 <= len(timeline) <= 45
    assert timeline.time_s[0] == 0.0
    assert 0.2 <= timeline.time_s[-1] < 1.0
    assert timeline.sources["allocated_blocks"] == "sys.getallocatedblocks"
    assert timeline.started_at.endswith("+00:00")
    assert not sampler.is_alive


def test_the_first_and_last_samples_are_taken_even_when_the_interval_never_comes():
    probe = FakeProbe(rss_bytes=[10, 20, 30])
    with Sampler(60, ("rss_bytes",), probe=probe) as sampler:
        pass
    assert sampler.timeline.metrics["rss_bytes"].tolist() == [10, 20]


def test_a_metric_that_cannot_be_read_is_absent_with_the_reason():
    with Sampler(60, ("rss_bytes", "uss_bytes"), probe=FakeProbe(rss_bytes=[1])) as sampler:
        pass
    assert sampler.timeline.absent == {"uss_bytes": "not on this machine"}
    assert set(sampler.timeline.metrics) == {"rss_bytes"}


def test_a_metric_that_stops_answering_is_dropped_and_the_others_go_on():
    probe = FakeProbe(rss_bytes=[1, 2], traced_bytes=[5, UnavailableError("nothing is traced")])
    with Sampler(60, ("rss_bytes", "traced_bytes"), probe=probe) as sampler:
        pass
    assert sampler.timeline.metrics["rss_bytes"].tolist() == [1, 2]
    assert "stopped answering after" in sampler.timeline.absent["traced_bytes"]
    assert "nothing is traced" in sampler.timeline.absent["traced_bytes"]


def test_a_failure_in_the_thread_is_kept_and_never_reaches_the_program():
    broken = RuntimeError("a reader broke")
    probe = FakeProbe(rss_bytes=[1, broken])
    sampler = Sampler(0.001, ("rss_bytes",), probe=probe).start()
    until(lambda: sampler.failure is not None)
    assert not sampler.is_alive, "no heart beats"
    timeline = sampler.stop()
    assert sampler.failure is broken
    assert timeline.metrics["rss_bytes"].tolist() == [1]


def test_no_more_threads_is_a_failure_of_the_sampler_only(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with Sampler(0.001, ("rss_bytes",), probe=FakeProbe(rss_bytes=[7])) as sampler:
        pass
    assert "new thread" in str(sampler.failure)
    assert sampler.timeline.metrics["rss_bytes"].tolist() == [7]


def test_alive_means_that_it_ticked_lately_not_that_the_thread_exists():
    hold, reading = threading.Event(), threading.Event()

    class Stuck(FakeProbe):
        def _next(self, name):
            if threading.current_thread() is not threading.main_thread():
                reading.set()
                hold.wait(10)
            return 1

    sampler = Sampler(0.001, ("rss_bytes",), probe=Stuck(rss_bytes=[1])).start()
    reading.wait(10)
    until(lambda: not sampler.is_alive)
    hold.set()
    until(lambda: sampler.is_alive)
    sampler.stop()


def test_a_forgotten_sampler_ends():
    sampler = Sampler(0.001, ("rss_bytes",), probe=FakeProbe(rss_bytes=[1])).start()
    del sampler
    gc.collect()
    until(lambda: "memlab-sampler" not in [t.name for t in threading.enumerate()])


def test_a_probe_that_was_given_is_not_closed():
    probe = FakeProbe(rss_bytes=[1])
    with Sampler(60, ("rss_bytes",), probe=probe):
        pass
    assert probe.closed == 0


def test_the_users_exception_passes_and_the_samples_are_kept():
    error = KeyError("mine")
    sampler = Sampler(60)
    with pytest.raises(KeyError) as caught, sampler:
        raise error
    assert caught.value is error
    assert error.__context__ is None
    assert len(sampler.timeline) == 2


def test_a_sampler_is_used_once_and_in_order():
    sampler = Sampler(60)
    with pytest.raises(UsageError, match="not started"):
        sampler.stop()
    sampler.start()
    with pytest.raises(UsageError, match="after stop"):
        sampler.timeline
    assert sampler.stop() is sampler.stop()
    with pytest.raises(UsageError, match="started before"):
        sampler.start()


@pytest.mark.parametrize("interval", [0, -1, float("nan"), float("inf")])
def test_an_impossible_interval_is_refused(interval):
    with pytest.raises(UsageError, match="interval_s"):
        Sampler(interval)


def test_a_bound_that_leaves_no_room_is_refused():
    with pytest.raises(UsageError, match="max_samples must be at least 16"):
        Sampler(0.1, max_samples=15)


# -- columns


@settings(max_examples=150, deadline=None)
@given(
    readings=st.lists(st.tuples(st.integers(0, 10**12), st.integers(-5, 5)), min_size=1, max_size=700),
    bound=st.integers(16, 64),
)
def test_thinning_keeps_the_bound_and_loses_no_peak_and_no_trough_of_any_column(readings, bound):
    columns = Columns(2, bound)
    for at, values in enumerate(readings):
        columns.append(float(at), values)
    times, (first, second) = columns.finished()
    assert len(times) <= bound
    assert (np.diff(times) >= 0).all()
    for column, given_values in ((first, [a for a, _ in readings]), (second, [b for _, b in readings])):
        assert (column.max(), column.min()) == (max(given_values), min(given_values))
    assert times[0] == 0.0
    assert first[0] == readings[0][0], "the first sample stays"
    at_peak = float(times[int(first.argmax())])
    assert readings[int(at_peak)][0] == first.max(), "the leading column keeps its moments"


def test_below_the_bound_every_reading_is_kept_as_it_came():
    columns = Columns(1, 100_000)
    for at in range(5000):
        columns.append(at / 10, [at * 3])
    times, (values,) = columns.finished()
    assert times.tolist() == [at / 10 for at in range(5000)]
    assert values.tolist() == [at * 3 for at in range(5000)]


def test_resolution_is_even_after_many_halvings():
    columns = Columns(1, 64)
    for at in range(10_000):
        columns.append(float(at), [at])
    times, _ = columns.finished()
    gaps = np.diff(times)
    assert len(times) > 16
    assert gaps.max() <= 2 * 10_000 / len(times) * 2


def test_an_envelope_keeps_the_order_of_least_and_greatest():
    times = np.arange(9.0)
    values = np.array([[5, 1, 9, 2, 3, 8, 4, 0, 7]])
    thinned_times, thinned = envelope(times, values, 4)
    assert thinned.tolist() == [[5, 1, 9, 8, 0]]
    assert thinned_times.tolist() == [0.0, 1.0, 2.0, 5.0, 7.0]


def test_columns_without_any_metric_still_keep_time():
    columns = Columns(0, 16)
    for at in range(40):
        columns.append(float(at), [])
    times, values = columns.finished()
    assert values == []
    assert len(times) <= 16


# -- processes

AT_EXIT = """
import time
from memlab.collectors.sampler import Sampler
sampler = Sampler(0.0005).start()
time.sleep(0.02)
print("end", flush=True)
"""


def test_a_program_that_ends_while_sampling_ends_cleanly():
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", AT_EXIT], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


FORK = """
import os, threading, time, warnings
warnings.simplefilter("ignore")  # 3.12 warns of any fork beside a thread; that it works is the point
from memlab.collectors.sampler import Sampler
for _ in range(20):
    sampler = Sampler(0.0002).start()
    time.sleep(0.005)
    child = os.fork()
    if child == 0:
        seen = len(sampler.stop())
        alive = sampler.is_alive or len(threading.enumerate()) > 1
        with Sampler(0.001) as own:
            pass
        os._exit(0 if seen >= 1 and not alive and len(own.timeline) >= 2 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    before = len(sampler.stop())
    assert before >= 2
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs fork")
def test_a_forked_child_is_detached_may_sample_itself_and_the_parent_goes_on():
    subprocess.run([sys.executable, "-c", FORK], check=True, timeout=60)

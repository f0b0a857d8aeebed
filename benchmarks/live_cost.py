"""What the live view costs: processor time of a kernel with it and without, and of the messages it sends.

Run alone: ``python benchmarks/live_cost.py [--seconds 30] [--rounds 2]``. Each round starts a kernel that
sleeps, once without a view and once with each kind of it; the processor time of the kernel and of the sampler
process is read from outside, after the view has begun. Nobody answers the messages here, so
the browser's part is not in it. The kernel holds 100,000 lists, so that the count of types has work to do.
"""

from __future__ import annotations

import argparse
import statistics
import time

import psutil
from jupyter_client.manager import start_new_kernel

PREPARE = "import memlab, memlab.lab.live, time\nkept = [[n] for n in range(100_000)]"
KINDS = {
    "no view": "",
    "the view, 2 updates a second": "live = memlab.Live(); display(live)",
    "two views": "live = memlab.Live(); other = memlab.Live(); display(live, other)",
    "the view, 10 updates a second": "live = memlab.Live(updates_per_s=10); display(live)",
    "the view, without the types": "live = memlab.Live(types=False); display(live)",
}


def spent(process: psutil.Process) -> float:
    """Return the processor time of a process in seconds."""
    times = process.cpu_times()
    return times.user + times.system


def measure(code: str, seconds: float) -> tuple[float, float, int, int]:
    """Return the kernel's and its sampler's share of a processor in per cent, and messages and bytes sent."""
    manager, client = start_new_kernel()
    try:
        code = f"{PREPARE}\n{code}\ntime.sleep(2)"
        client.execute_interactive(code, timeout=120, output_hook=lambda _: None)
        process = psutil.Process(manager.provisioner.pid)
        client.execute(f"time.sleep({seconds})")
        sampler = next(iter(process.children()), None)
        before, outside, began = spent(process), spent(sampler) if sampler else 0.0, time.monotonic()
        messages = sent = 0
        while time.monotonic() - began < seconds:
            try:
                message = client.get_iopub_msg(timeout=0.5)
            except Exception:  # noqa: BLE001 - nothing came
                continue
            if message["msg_type"].startswith("comm"):
                messages += 1
                sent += len(str(message["content"])) + sum(len(b) for b in message["buffers"])
        lasted = time.monotonic() - began
        used = spent(process) - before
        apart = spent(sampler) - outside if sampler else 0.0
        return 100 * used / lasted, 100 * apart / lasted, messages, sent
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    found: dict[str, list[tuple[float, float, int, int]]] = {kind: [] for kind in KINDS}
    for _ in range(options.rounds):
        for kind, code in KINDS.items():
            found[kind].append(measure(code, options.seconds))
    print(f"{'% of a core':34}{'kernel':>8}{'sampler':>9}{'messages/s':>12}{'KiB/s':>8}")
    for kind, rows in found.items():
        share, apart, messages, sent = (statistics.median(column) for column in zip(*rows, strict=True))
        rate = messages / options.seconds
        print(f"{kind:34}{share:8.2f}{apart:9.2f}{rate:12.1f}{sent / options.seconds / 1024:8.1f}")
    print(f"load average {psutil.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()

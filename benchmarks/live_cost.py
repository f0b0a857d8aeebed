"""What the live view costs: processor time of a kernel with it and without, and of the messages it sends.

Run alone: ``python benchmarks/live_cost.py [--seconds 30] [--rounds 2]``. Each round starts a kernel that
sleeps, once without a view, once with the default one (2 updates a second) and once with 10 a second; the
kernel's processor time is read from outside, after the view has begun. Nobody answers the messages here, so
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


def measure(code: str, seconds: float) -> tuple[float, int, int]:
    """Return the kernel's share of a processor in per cent, and how many messages and bytes it sent."""
    manager, client = start_new_kernel()
    try:
        code = f"{PREPARE}\n{code}\ntime.sleep(2)"
        client.execute_interactive(code, timeout=120, output_hook=lambda _: None)
        process = psutil.Process(manager.provisioner.pid)
        client.execute(f"time.sleep({seconds})")
        before, began = process.cpu_times(), time.monotonic()
        messages = sent = 0
        while time.monotonic() - began < seconds:
            try:
                message = client.get_iopub_msg(timeout=0.5)
            except Exception:  # noqa: BLE001 - nothing came
                continue
            if message["msg_type"].startswith("comm"):
                messages += 1
                sent += len(str(message["content"])) + sum(len(b) for b in message["buffers"])
        after, lasted = process.cpu_times(), time.monotonic() - began
        used = after.user + after.system - before.user - before.system
        return 100 * used / lasted, messages, sent
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    found: dict[str, list[tuple[float, int, int]]] = {kind: [] for kind in KINDS}
    for _ in range(options.rounds):
        for kind, code in KINDS.items():
            found[kind].append(measure(code, options.seconds))
    print(f"{'':34}{'% of a core':>12}{'messages/s':>12}{'KiB/s':>8}")
    for kind, rows in found.items():
        share, messages, sent = (statistics.median(column) for column in zip(*rows, strict=True))
        rate = messages / options.seconds
        print(f"{kind:34}{share:12.2f}{rate:12.1f}{sent / options.seconds / 1024:8.1f}")
    print(f"load average {psutil.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()

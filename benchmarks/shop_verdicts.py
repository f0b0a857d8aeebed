"""The sample service, hunted again and again: is the verdict right each time, and what does it cost?

Each hunt is the ordinary command in a process of its own. The truth is two watchers, two requests and two
bound methods a round: six objects that the collector tracks.
"""

from __future__ import annotations

import collections
import json
import statistics
import subprocess
import sys
from pathlib import Path

SERVICE = Path(__file__).resolve().parents[1] / "data" / "service"
TURNS = 8


def hunt(target: str, budget_s: float) -> dict:
    command = [
        sys.executable,
        "-m",
        "memlab",
        "leaks",
        target,
        "--json",
        "--quiet",
        "--budget",
        str(budget_s),
    ]
    return json.loads(
        subprocess.run(command, cwd=SERVICE, capture_output=True, text=True, check=False).stdout
    )


def main() -> int:
    for target in ("shop:step", "fixed:step"):
        reports = [hunt(target, 5.0) for _ in range(TURNS)]
        verdicts = collections.Counter(report["verdict"] for report in reports)
        print(f"{target:12s} " + ", ".join(f"{count} x {verdict}" for verdict, count in verdicts.items()))
        objects = [report["objects_per_iteration"] for report in reports]
        times = [report["protocol"]["elapsed_s"] for report in reports]
        named = collections.Counter(
            (report["suspects"] or [{"type_name": "-"}])[0]["type_name"] for report in reports
        )
        print(f"  objects per round  {min(objects):.3f} to {max(objects):.3f}")
        print(f"  first suspect      {', '.join(f'{count} x {name}' for name, count in named.items())}")
        print(f"  time for budget 5  {statistics.median(times):.1f} s (greatest {max(times):.1f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The lab book's bound: many runs under a small cap, and what a prune takes.

Appends runs of ten figures, each a transaction of its own on disk, and times those appends that prune beside
those that do not. The file's size is looked at after each. Options: --runs N (default 10,000), --cap BYTES.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from memlab.records.benchmark import BenchmarkResult, BenchmarkTable
from memlab.store.lab_book import LabBook


class Timed(LabBook):
    """A book that keeps how long its prunes took."""

    prunes: list[float]

    def _prune(self, connection, coming):
        before = connection.total_changes
        began = time.perf_counter()
        super()._prune(connection, coming)
        if connection.total_changes > before:
            self.prunes.append(time.perf_counter() - began)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--cap", type=int, default=1024 * 1024)
    options = parser.parse_args()
    table = BenchmarkTable(tuple(BenchmarkResult(f"load:m{n}", 1.5, "seconds") for n in range(10)))
    with tempfile.TemporaryDirectory() as folder:
        book = Timed(Path(folder, "book.db"), max_bytes=options.cap)
        book.prunes = []
        appends, largest = [], 0
        for _ in range(options.runs):
            began = time.perf_counter()
            book.append(table)
            appends.append(time.perf_counter() - began)
            largest = max(largest, book.path.stat().st_size)
        began = time.perf_counter()
        history = book.history()
        read = time.perf_counter() - began
    print(f"runs appended               {options.runs:,}")
    print(f"largest size of the file    {largest:,} bytes, cap {options.cap:,}")
    print(f"runs kept at the end        {len(history):,}, newest {history.runs[-1].number:,}")
    print(f"an append, median           {statistics.median(appends) * 1000:.1f} ms")
    if book.prunes:
        print(f"prunes                      {len(book.prunes):,}")
        print(
            f"a prune, median / longest   {statistics.median(book.prunes) * 1000:.1f} / "
            f"{max(book.prunes) * 1000:.1f} ms"
        )
    print(f"reading all of it           {read * 1000:.0f} ms")
    return 0 if largest <= options.cap else 1


if __name__ == "__main__":
    sys.exit(main())

"""Benchmarks and regressions as Markdown, for a comment on a pull request or a job's summary.

One headline, one table, and what grew as a list. Text of the measured program is escaped: it is read on a
page where links, pictures and mentions mean something.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from memlab.records.benchmark import BenchmarkTable, RegressionReport, RegressionVerdict
from memlab.views import bench_words as say
from memlab.views import words
from memlab.views.bench_views import cells_of

if TYPE_CHECKING:
    from memlab.records.benchmark import RunHistory

__all__ = ["to_markdown"]

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~@&])")
_MOST = 50
_QUIET = (RegressionVerdict.UNCHANGED,)


def to_markdown(result: BenchmarkTable | RegressionReport | RunHistory) -> str:
    r"""Return a result as Markdown (GitHub's tables), with a final line break.

    A regression report lists what changed and folds what did not.

    Example:
        >>> from memlab.records.benchmark import BenchmarkResult
        >>> print(to_markdown(BenchmarkTable((BenchmarkResult("a:peak_bytes", 2048, "bytes"),))))
        ### memlab: 1 benchmark, 1 figures
        <BLANKLINE>
        | benchmark | median | spread |
        | --- | ---: | --- |
        | a:peak\_bytes | 2.00 KiB |  |
        <BLANKLINE>
    """
    titles, rows, numbers = cells_of(result)
    if isinstance(result, RegressionReport):
        lines = [f"### memlab: {_escaped(say.regression_headline(result))}", ""]
        quiet = [change.verdict in _QUIET for change in result.changes]
        loud = [row for row, hidden in zip(rows, quiet, strict=True) if not hidden]
        lines += _table(titles, loud[:_MOST], numbers)
        lines += _causes(result)
        rest = [row for row, hidden in zip(rows, quiet, strict=True) if hidden]
        if rest:
            lines += ["<details>", f"<summary>{len(rest):,} metrics without a change</summary>", ""]
            lines += [*_table(titles, rest[: 4 * _MOST], numbers), "</details>", ""]
    else:
        headline = (
            say.table_headline(result) if isinstance(result, BenchmarkTable) else say.history_headline(result)
        )
        lines = [f"### memlab: {_escaped(headline)}", "", *_table(titles, rows[: 4 * _MOST], numbers)]
    if result.notes:
        lines += [*(f"- {_escaped(note)}" for note in result.notes), ""]
    return "\n".join(lines)


def _causes(report: RegressionReport) -> list[str]:
    lines = []
    for name, diff in list(report.causes.items())[:3]:
        lines += [f"What grew in {_escaped(name)}:", ""]
        lines += [
            f"- `{words.printable(words.place(site.site.frame), 160).replace('`', ' ')}` "
            f"{site.size_diff_bytes:+,} B in {site.blocks_diff:+,} blocks"
            for site in diff.sites[:5]
        ]
        lines.append("")
    return lines


def _table(titles: tuple[str, ...], rows: list[tuple[str, ...]], numbers: tuple[bool, ...]) -> list[str]:
    if not rows:
        return []
    marks = ["---:" if number else "---" for number in numbers]
    lines = [f"| {' | '.join(titles)} |", f"| {' | '.join(marks)} |"]
    lines += [f"| {' | '.join(_escaped(cell) for cell in row)} |" for row in rows]
    return [*lines, ""]


def _escaped(text: str) -> str:
    # "+" and "(" of our own figures stay readable: they mean nothing inside a table's cell.
    return re.sub(r"\\([+()])", r"\1", _SPECIAL.sub(r"\\\1", words.printable(text, 400)))

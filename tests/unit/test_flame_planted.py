"""A line that allocates a fifth more is the widest red frame of the differential flame graph.

Real captures of generated programs: three to five modules, call paths six and more deep, recursion, and noise
in all other lines.
"""

from __future__ import annotations

import numpy as np
import pytest
from planted import DEPTH, Program

import memlab
from memlab.views.flame_data import tone, widths
from memlab.views.flame_words import growth_headline

PROGRAMS = 20


@pytest.mark.parametrize("seed", range(PROGRAMS))
def test_the_planted_line_is_the_widest_red_frame(seed):
    newer, older, (file, line) = Program(seed).both()
    tree = newer.flame(older, inverted=True)
    assert len(tree) > 200
    assert tree.depth == 25
    wide, now, was = widths(tree, "change"), tree.now.total_bytes, tree.before.total_bytes
    red = [
        row
        for row in np.flatnonzero(tree.parent == 0).tolist()
        if tone(int(now[row]), int(was[row])).startswith("grew")
    ]
    frame = int(tree.frame[max(red, key=lambda row: int(wide[row]))])
    assert (tree.files[int(tree.frame_file[frame])], int(tree.frame_line[frame])) == (file, line)
    assert f"{file}:{line}" in growth_headline(tree)


def test_without_a_change_no_frame_of_weight_is_red():
    """The noise alone makes nothing red that holds a twentieth of the memory."""
    program = Program(3)
    tree = program.run(label="again").flame(program.run(), inverted=True)
    now, was = tree.now.total_bytes, tree.before.total_bytes
    for row in np.flatnonzero(tree.parent == 0).tolist():
        if now[row] > now[0] / 20:
            assert abs(int(now[row]) - int(was[row])) / int(now[row]) < 0.05


def test_a_snapshot_keeps_what_the_greatest_own_lines_say_without_their_strings(tmp_path, monkeypatch):
    """Redacted when the snapshot is made; a saved difference shows the same page as the live one."""
    source = (
        "def fill(kept):\n"
        "    kept.append([bytes(900) for _ in range(300)])  # t0ken\n"
        '    kept.append("s3cret" * 5000)\n'
    )
    path = tmp_path / "filler.py"
    path.write_text(source, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    space, kept = {}, []
    with memlab.tracing(DEPTH):
        exec(compile(source, str(path), "exec"), space)
        before = memlab.snapshot("before")
        space["fill"](kept)
        after = memlab.snapshot("after")
    diff = after.diff(before)
    assert 'kept.append("…" * 5000)' in after.sources
    assert "kept.append([bytes(900) for _ in range(300)])" in after.sources
    page = diff.to_html()
    assert "kept.append(&#34;…&#34; * 5000)" in page
    assert "s3cret" not in page
    assert "t0ken" not in page
    diff.save(tmp_path / "diff.memlab")
    loaded = memlab.load(tmp_path / "diff.memlab")
    assert loaded.to_html() == page
    assert loaded.flame().sources == diff.flame().sources


def test_a_tracer_of_few_frames_reads_no_lines():
    """What the tokenizer leaves behind could not be told from the program's then."""
    with memlab.tracing(1):
        kept = [bytes(900) for _ in range(300)]
        assert memlab.snapshot().sources == ()
    assert kept

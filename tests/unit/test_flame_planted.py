"""A line that allocates a fifth more is the widest red frame of the differential flame graph.

Real captures of generated programs: three to five modules, call paths six and more deep, recursion, and noise
in all other lines.
"""

from __future__ import annotations

import numpy as np
import pytest
from planted import Program

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

"""kill -9 at any moment of painting loses no stroke that was recorded and leaves nothing unreadable."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from napari_vesselkd.geometry import Region
from napari_vesselkd.project import Project

MOMENTS = 50


@pytest.mark.slow
def test_killed_at_50_random_moments_every_recorded_stroke_is_there(project):
    project.edit(Region((0, 0, 0), (24, 64, 64)))
    project.close()
    script = Path(__file__).with_name("painting.py")
    done = subprocess.run(
        [sys.executable, str(script), str(project.path), str(MOMENTS), "7"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rounds = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rounds) == MOMENTS
    before = None
    for one in rounds:
        assert one["killed"]
        assert not one["read_only"]
        assert before is None or (one["began"], one["can_undo"]) == (before, True)  # the next one sees it all
        word, value = one["last"]
        in_the_middle = [value] if word == "about" else []
        assert one["found"] in [one["acknowledged"], *in_the_middle]
        assert one["notice"] is None or "last record was cut off" in one["notice"]
        before = one["found"]
    assert sum(one["records"] for one in rounds) > 20 * MOMENTS
    with Project.open(project.path) as again:
        edit = again.edit_block(1)
        assert edit.notice is None
        steps = 0
        while edit.can_undo:
            edit.undo()
            steps += 1
        assert steps > MOMENTS
        assert not edit.voxels.any()

"""kill -9 between any two writes of any operation loses nothing that was done, and nothing is unreadable."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from histories import ONE, TWO, fill
from napari_vesselkd.geometry import Region
from napari_vesselkd.project import Project
from napari_vesselkd.volume import pyramid
from projects import give_labels, new_project, whole, write_image

MOMENTS = 200


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with two levels and chunks beside each other, as large as what is done in it."""
    monkeypatch.setattr(pyramid, "COARSEST_EDGE", 64)
    image = write_image(tmp_path / "brain.ome.zarr", shape=(40, 72, 70))
    with new_project(tmp_path / "a.vesselkd", image) as made:
        assert len(made.corrections.levels) == 2
        yield made


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_at_200_random_moments_no_operation_that_was_done_is_lost(project):
    labels = give_labels(project)
    for region in (ONE, TWO):
        project.edit(region)
    project.close()
    script, tests = Path(__file__).with_name("operating.py"), Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, str(script), str(project.path), str(MOMENTS), "11"],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), os.environ.get("PYTHONPATH", "")])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rounds = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rounds) == MOMENTS
    for one in rounds:
        assert one["killed"]
        assert one["fine"], done.stderr
        assert one["acknowledged"]
        assert one["steps"] <= 1
    assert sum(one["operations"] for one in rounds) > MOMENTS // 4
    assert sum(one["in_the_middle"] for one in rounds) > 3
    with Project.open(project.path) as again:
        while again.history.undo() is not None:
            pass
        assert not whole(again).any()
        np.testing.assert_array_equal(again.labels.read(Region.whole(labels.shape)), labels)
        fill(again.edit_block(1), Region((0, 0, 0), (2, 2, 2)), 2)

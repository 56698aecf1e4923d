"""Promises of what is kept of rejected proposals."""

from __future__ import annotations

import numpy as np
import pytest

from napari_vesselkd.errors import ProjectBusyError
from napari_vesselkd.geometry import Region
from napari_vesselkd.project import Project
from napari_vesselkd.proofreading.rejections import NAME, Rejections, is_known
from napari_vesselkd.proofreading.tools.proposal import proposal
from projects import new_project, write_image

WHOLE = Region((0, 0, 0), (40, 300, 70))
BOX, FAR = Region((10, 20, 30), (14, 24, 40)), Region((10, 200, 30), (14, 204, 40))


class Vessel:
    """A source of labels, all in memory."""

    shape = WHOLE.shape

    def __init__(self):
        self.voxels = np.zeros(self.shape, bool)

    def read(self, region):
        return self.voxels[region.slices]


@pytest.fixture
def project(tmp_path):
    with new_project(tmp_path / "a.vesselkd", write_image(tmp_path / "brain.ome.zarr")) as project:
        yield project


def of(box, value=2, tool="gap"):
    return proposal(tool, box, np.ones(box.shape, bool), value, reason="why", score=0.7)


def regions(project, vessel, tool="gap", where=WHOLE):
    return [one.region for one in Rejections(project).known(tool, where, vessel)]


def test_they_are_known_by_tool_and_place_in_another_session(project):
    vessel, kept = Vessel(), Rejections(project)
    kept.add("gap", (of(BOX), of(FAR)), vessel)
    kept.add("lumen", (of(BOX, tool="hollow"),), vessel)
    assert regions(project, vessel) == [BOX, FAR]
    assert regions(project, vessel, "lumen") == [BOX]
    assert regions(project, vessel, "spur") == []
    assert regions(project, vessel, where=Region((0, 0, 0), (12, 30, 31))) == [BOX]
    (known,) = Rejections(project).known("gap", BOX, vessel)
    assert is_known((of(BOX.shifted((0, 1, 0))),), (known,))
    assert not is_known((of(BOX, value=1),), (known,))
    assert not is_known((of(FAR),), (known,))


def test_labels_that_change_there_end_it_and_those_elsewhere_do_not(project):
    vessel = Vessel()
    Rejections(project).add("gap", (of(BOX),), vessel)
    vessel.voxels[10, 20, 42] = True  # three voxels away
    assert regions(project, vessel) == [BOX]
    vessel.voxels[10, 20, 41] = True
    assert regions(project, vessel) == []
    vessel.voxels[10, 20, 41] = False  # taken back
    assert regions(project, vessel) == [BOX]


def test_somebody_asks_for_those_of_a_region(project):
    vessel, kept = Vessel(), Rejections(project)
    kept.add("gap", (of(BOX), of(FAR)), vessel)
    kept.add("spur", (of(BOX),), vessel)
    kept.forget("gap", Region((0, 0, 0), (40, 100, 70)))
    for one in (kept, Rejections(project)):
        assert [change.region for change in one.known("gap", WHOLE, vessel)] == [FAR]
    assert regions(project, vessel, "spur") == [BOX]
    kept.add("gap", (of(BOX),), vessel)
    assert regions(project, vessel) == [FAR, BOX]


@pytest.mark.parametrize(
    "damage", [lambda line: line[:-9] + b"damaged}\n", lambda line: line[: len(line) // 2]]
)
def test_a_damaged_line_is_one_proposal_that_comes_again(project, damage):
    vessel = Vessel()
    Rejections(project).add("gap", (of(BOX), of(FAR)), vessel)
    path = project.path / NAME
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + damage(lines[1]))
    assert regions(project, vessel) == [BOX]
    Rejections(project).add("gap", (of(FAR),), vessel)
    assert regions(project, vessel) == [BOX, FAR]


def test_lines_of_another_image_or_version_are_left_out(project):
    from napari_vesselkd.labels import Journal

    with Journal(project.path / NAME) as journal:
        for record in (
            {"kind": "rejected", "tool": "gap", "box": "0:900,0:9,0:9", "mask": "", "value": 2, "labels": 0},
            {"kind": "rejected", "tool": "gap", "box": str(BOX), "mask": "AAAA", "value": 2, "labels": 0},
            {"kind": "rejected", "tool": "gap"},
            {"kind": "of a later version", "tool": "gap", "box": str(BOX)},
            {},
        ):
            journal.append(record)
    vessel = Vessel()
    assert regions(project, vessel) == []


def test_a_project_that_is_read_only_keeps_nothing(project):
    with Project.open(project.path) as reader, pytest.raises(ProjectBusyError):
        Rejections(reader).add("gap", (of(BOX),), Vessel())
    assert not (project.path / NAME).exists()

"""Promises about volumes that do not fit in memory: counted, not timed."""

from __future__ import annotations

import tracemalloc

import numpy as np
import zarr

from napari_vesselkd.geometry import Region
from napari_vesselkd.labels import LabelStore, RunRecord
from napari_vesselkd.project import Project
from napari_vesselkd.proofreading import review_list
from napari_vesselkd.volume import create_multiscale, open_volume
from projects import accepted

SHAPE = (4000, 10_000, 10_000)
CELL = (32, 32, 32)


def test_a_project_of_400_gb_opens_edits_and_lists_in_bounded_memory(tmp_path, monkeypatch):
    image = tmp_path / "brain.ome.zarr"
    create_multiscale(image, SHAPE, np.uint8, voxel_size_um=(2, 1, 1), chunk=(128, 128, 128))
    read = []
    original = zarr.Array.__getitem__

    def counted(array, index):
        found = original(array, index)
        read.append(found.size)
        return found

    monkeypatch.setattr(zarr.Array, "__getitem__", counted)
    with open_volume(image) as volume:
        assert volume.nbytes == 400e9
        tracemalloc.start()
        project = Project.create(tmp_path / "a.vesselkd", volume)
        assert sum(read) < 1e6  # the signature's sample
        _segmented(project)
        accepted(project, Region((1000, 5000, 5000), (1064, 5064, 5064)))
        project.close()
        read.clear()
        with Project.open(tmp_path / "a.vesselkd") as project:
            found = review_list(project)
            assert read == []  # no voxel
            assert len(found) == 200
            assert found[0].region == Region((128, 1280, 2560), (256, 1408, 2688))
            assert found[0].uncertainty == 1.0
            assert {one.block.number for one in found if one.block is not None} == {1}
            project.open_image().close()
            assert sum(read) < 1e6
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 200e6
    assert sum(file.stat().st_blocks * 512 for file in tmp_path.rglob("*")) < 300e6


def _segmented(project):
    """Give the project labels of the lower eighth, with one uncertain block."""
    LabelStore.create(project.labels_path, SHAPE, (2, 1, 1))
    record = RunRecord.create(project.labels_path, SHAPE, CELL, {"volume": project.image.signature})
    record.track_uncertainty()
    record.done[: 512 // 32] = 1
    values = record.uncertainty
    values[: 512 // 32] = 0.25
    values[4:8, 40:44, 80:84] = 1.0

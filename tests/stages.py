"""What tests of the stages share: a small data set on disk, a small project, and a teacher nobody trained."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_vesselkd.checkpoints import CheckpointCard, save_checkpoint
from napari_vesselkd.geometry import Region
from napari_vesselkd.models.teacher import Teacher, TeacherConfig
from napari_vesselkd.phantoms import PhantomConfig, make_phantom
from napari_vesselkd.project import Project
from napari_vesselkd.training import distill, pretrain, teach
from napari_vesselkd.volume import open_volume, write_multiscale

SIZE = (1.0, 1.0, 1.0)
SHAPE = (24, 40, 40)
FEW_WINDOWS = (24, 32, 32)  # of a data set: what a teacher segments in the fewest windows
GROUPS = ("one", "two", "three", "one", "four", "four")
HEADER = "image,label,group,voxel_size_um\n"
SMALL = TeacherConfig(network="segresnet", feature_size=12)
BLOCKS = [
    Region(start, stop)
    for start, stop in (
        ((0, 0, 0), (24, 20, 20)),
        ((0, 0, 20), (24, 20, 40)),
        ((0, 20, 0), (24, 40, 20)),
    )
]


def phantom(seed, shape=SHAPE):
    config = PhantomConfig(shape=shape, seed=seed, voxel_size_um=SIZE, scene="capillary")
    return make_phantom(config)


def write_data_set(folder, labelled=4):
    """Write six volumes in four groups, the first ones with labels; return the path of data.csv."""
    rows = []
    for number, group in enumerate(GROUPS):
        made = phantom(number, FEW_WINDOWS)
        write_multiscale(folder / f"image-{number}.ome.zarr", made.image, voxel_size_um=SIZE, levels=1)
        label = ""
        if number < labelled:
            label = f"label-{number}.ome.zarr"
            write_multiscale(folder / label, made.label, voxel_size_um=SIZE, levels=1)
        rows.append(f'image-{number}.ome.zarr,{label},{group},"1,1,1"\n')
    (folder / "data.csv").write_text(HEADER + "".join(rows))
    return folder / "data.csv"


def write_project(folder):
    """Write a project with three accepted blocks; return its path."""
    made = phantom(0)
    write_multiscale(folder / "brain.ome.zarr", made.image, voxel_size_um=SIZE, levels=1)
    with (
        open_volume(folder / "brain.ome.zarr") as volume,
        Project.create(folder / "brain.vesselkd", volume) as project,
    ):
        for region in BLOCKS:
            edit = project.edit(region)
            edit.record((1 + (made.label[edit.region.slices] > 0)).astype(np.uint8))
            project.accept(edit.number)
    return folder / "brain.vesselkd"


@pytest.fixture
def few_looks(monkeypatch):
    """Look at few patches beside the steps, which take longer than the few steps of tests."""
    torch.set_num_threads(1)
    for module in (pretrain, teach):
        monkeypatch.setattr(module, "LOOKED_AT", 1)
    monkeypatch.setattr(distill, "CALIBRATION", 1)


def write_teacher(path, stage="finetune-teacher", config=SMALL):
    """Write a teacher as it was drawn; return the path of its weights."""
    card = CheckpointCard(
        name=path.name,
        description="for tests",
        architecture="teacher",
        config=config.to_dict(),
        normalisation="windows",
        lineage={"stage": stage, "parent": None, "config": {"steps": 0}, "seconds": 0.0},
        created="2026-01-01T00:00:00+00:00",
    )
    save_checkpoint(path, Teacher(config), card)
    return path.with_name(f"{path.name}.safetensors")

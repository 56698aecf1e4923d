"""What tests of projects share: a small image on disk, strokes, and what a project should hold."""

from __future__ import annotations

import numpy as np

from napari_vesselkd.geometry import Region
from napari_vesselkd.labels import LabelStore, RunRecord
from napari_vesselkd.labels.edits import ERASED
from napari_vesselkd.project import Project
from napari_vesselkd.project.corrections import composed, sheet_of
from napari_vesselkd.volume import downsample, open_volume, write_multiscale
from napari_vesselkd.volume.pyramid import factors_between
from segmenting import structured

SHAPE = (40, 300, 70)
CELL = (16, 16, 32)
VOXEL_SIZE = (2.0, 1.0, 1.0)


def write_image(path, seed=0, shape=SHAPE):
    """Write an image and return its path."""
    write_multiscale(path, structured(shape, seed), voxel_size_um=VOXEL_SIZE)
    return path


def new_project(path, image):
    """Make a project for an image on disk and return it open."""
    with open_volume(image) as volume:
        return Project.create(path, volume)


def phantom_project(folder, phantom):
    """Write a phantom and make a project of it; return the project's path."""
    write_multiscale(folder / "brain.ome.zarr", phantom.image, voxel_size_um=phantom.voxel_size_um)
    path = folder / "brain.vesselkd"
    new_project(path, folder / "brain.ome.zarr").close()
    return path


def accept_truth(path, phantom, region, value=None):
    """Accept a block with what the phantom has there, or all of it with one `value`; return the block."""
    with Project.open(path) as project:
        edit = project.edit(region)
        truth = (1 + (phantom.label[edit.region.slices] > 0)).astype(np.uint8)
        edit.record(truth if value is None else np.full_like(truth, value))
        return project.accept(edit.number)


def paint(edit, box, value, **options):
    """Paint a box of a block, in its voxels, and return it."""
    new = edit.voxels.copy()
    new[box.slices] = value
    edit.record(new, **options)
    return new


def accepted(project, region, seed=0, share=1.0):
    """Accept a block with random labels and return its number and voxels."""
    edit = project.edit(region)
    rng = np.random.default_rng(seed)
    new = rng.integers(1, 3, edit.region.shape).astype(np.uint8)
    new[rng.random(new.shape) >= share] = 0
    edit.record(new)
    return project.accept(edit.number).number, new


def give_labels(project, seed=5):
    """Give a project labels as a segmentation of all of it writes them, and return them."""
    shape = project.image.shape
    store = LabelStore.create(project.labels_path, shape, project.image.voxel_size_um)
    record = RunRecord.create(project.labels_path, shape, CELL, {"volume": project.image.signature})
    record.track_uncertainty()
    labels = (np.random.default_rng(seed).random(shape) < 0.3).astype(np.uint8)
    store.write(Region.whole(shape), labels)
    record.ask_for(Region.whole(shape))
    bits = np.linspace(0, 1, record.done.size, dtype=np.float32).reshape(record.done.shape)
    record.mark(Region.whole(shape), labels, bits)
    record.save(state="finished")
    return labels


def check_agreement(project):
    """State, corrections and labels agree, at every level, and the record counts what is there."""
    region = Region.whole(project.image.shape)
    expected = composed(project._folder, region, project._state.corrected)
    for box, painted in sheet_of(project._folder):
        expected[box.slices] = np.where(painted > 0, painted % ERASED, expected[box.slices])
    np.testing.assert_array_equal(project.corrections.read(region), expected)
    check_levels(project.corrections)
    assert not project._state.unstored
    if project.labels is not None and not project.pending:
        labels = project.labels.read(region)
        np.testing.assert_array_equal(labels[expected == 1], 0)
        np.testing.assert_array_equal(labels[expected == 2], 1)
        check_levels(project.labels)
        record = project.labels_record
        done = np.repeat(np.repeat(np.repeat(record.done > 0, CELL[0], 0), CELL[1], 1), CELL[2], 2)
        assert record.vessel_voxels(region) == labels[done[tuple(slice(n) for n in labels.shape)]].sum()


def check_levels(store):
    """Every level is what the finer one gives."""
    for fine, coarse in zip(store.levels, store.levels[1:], strict=False):
        factors = factors_between(fine.shape, coarse.shape)
        np.testing.assert_array_equal(coarse[...], downsample(np.asarray(fine[...]), factors, label=True))


def whole(project):
    """Return all corrections."""
    return project.corrected(Region.whole(project.image.shape))

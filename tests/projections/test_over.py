"""Labels over a projection: at their place whatever grid they lie on."""

import numpy as np
import pytest

from napari_vesselkd.geometry import Region
from napari_vesselkd.projections import LabelOverlay, SlabProjector
from napari_vesselkd.volume import open_volume, volume_from_arrays, write_multiscale

SHAPE = (24, 32, 40)


def volume_of(array):
    return volume_from_arrays([array], voxel_size_um=(1, 1, 1), name="v")


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 60000, SHAPE, dtype=np.uint16)


def over(labels, shown):
    *_, last = labels.over(shown)
    return last


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_a_prediction_is_projected_with_the_image(image, axis):
    labels = (np.random.default_rng(1).random(SHAPE) > 0.98).astype(np.uint8)
    slab = Region((3, 4, 5), (20, 30, 33))
    shown = SlabProjector(volume_of(image)).project(slab, axis)
    found = over(LabelOverlay(volume_of(labels)), shown)
    np.testing.assert_array_equal(found, labels[slab.slices].max(axis="zyx".index(axis)))


def test_labels_of_a_part_lie_at_their_place_and_are_nothing_elsewhere(image):
    part = np.zeros((10, 8, 8), np.uint8)
    part[4, 2, 3] = 2
    shown = SlabProjector(volume_of(image)).project(Region((0, 6, 0), (24, 30, 40)))
    found = over(LabelOverlay(volume_of(part), offset=(-5.0, -10.0, -20.0)), shown)
    assert found[6, 23] == 2
    assert found.sum() == 2
    away = SlabProjector(volume_of(image)).project(Region((20, 0, 0), (24, 9, 9)))
    assert over(LabelOverlay(volume_of(part), offset=(-5.0, -10.0, -20.0)), away).sum() == 0


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_codes_are_those_of_the_voxels_that_made_the_pixels(image, axis):
    cells = np.random.default_rng(2).integers(1, 500, (6, 8, 10), dtype=np.uint16)
    slab = Region((3, 4, 5), (20, 30, 33))
    shown = SlabProjector(volume_of(image)).project(slab, axis)
    scale, offset = (0.25,) * 3, (-0.375,) * 3  # cell i covers voxels 4i to 4i + 3
    found = over(LabelOverlay(volume_of(cells), scale, offset), shown)
    for row in range(0, found.shape[0], 5):
        for column in range(0, found.shape[1], 3):
            z, y, x = shown.voxel(row, column)
            assert found[row, column] == cells[z // 4, y // 4, x // 4]


def test_a_mean_shows_the_codes_amid_the_slab(image):
    cells = np.random.default_rng(2).integers(1, 500, (6, 8, 10), dtype=np.uint16)
    shown = SlabProjector(volume_of(image)).project(Region((4, 0, 0), (20, 32, 40)), how="mean")
    found = over(LabelOverlay(volume_of(cells), (0.25,) * 3, (-0.375,) * 3), shown)
    np.testing.assert_array_equal(found[::4, ::4], cells[3])


def test_whether_labels_are_few_is_judged_by_their_values_not_their_type(image):
    labels = (image > 50000).astype(np.int64)
    assert LabelOverlay(volume_of(labels)).has_few()
    assert not LabelOverlay(volume_of(labels * 7)).has_few()
    assert LabelOverlay(volume_of(labels > 0)).has_few()


def test_coarse_pictures_take_coarse_labels_at_the_same_place(tmp_path):
    labels = np.zeros((64, 256, 256), np.uint8)
    labels[30, 100:140, 40:200] = 1
    write_multiscale(tmp_path / "l.ome.zarr", labels, voxel_size_um=(1, 1, 1), label=True, levels=4)
    with open_volume(tmp_path / "l.ome.zarr") as stored:
        shown = SlabProjector(stored).project(Region.whole(stored.shape), level=2)
        overlay = LabelOverlay(stored)
        found = over(overlay, shown)
        assert found.shape == (64, 64)
        np.testing.assert_array_equal(np.argwhere(found)[[0, -1]], [[25, 10], [34, 49]])
        assert overlay._projector.chunks_read < 64  # those of the coarse level, not of all 256**2 pixels


def test_changed_labels_show_after_forget(image):
    labels = np.zeros(SHAPE, np.uint8)
    shown = SlabProjector(volume_of(image)).project(Region.whole(SHAPE))
    overlay = LabelOverlay(volume_of(labels))
    assert over(overlay, shown).sum() == 0
    labels[3, 4, 5] = 1
    overlay.forget()
    assert over(overlay, shown)[4, 5] == 1

"""Promises of the label store."""

from __future__ import annotations

import numpy as np
import pytest

from napari_vesselkd.errors import OutputError
from napari_vesselkd.geometry import Region
from napari_vesselkd.labels import LabelStore
from napari_vesselkd.volume import downsample, open_volume, write_multiscale


def expected_levels(array, store):
    levels = [array]
    for fine, coarse in zip(store.levels, store.levels[1:], strict=False):
        factors = [1 if n == m else 2 for n, m in zip(fine.shape, coarse.shape, strict=True)]
        levels.append(downsample(levels[-1], factors, label=True))
    return levels


@pytest.mark.parametrize(
    "region",
    [Region((0, 0, 0), (40, 64, 64)), Region((3, 5, 7), (38, 399, 65)), Region((8, 1, 0), (9, 2, 1))],
)
def test_every_level_is_in_step_after_a_write_anywhere(tmp_path, region):
    store = LabelStore.create(tmp_path / "a.ome.zarr", (40, 400, 90), (2, 1, 1))
    assert len(store.levels) > 1
    array = np.zeros(store.shape, np.uint8)
    rng = np.random.default_rng(0)
    for part in (Region((0, 0, 0), (40, 400, 90)), region):
        array[part.slices] = rng.random(part.shape) < 0.02
        store.write(part, array[part.slices])
    for found, expected in zip(store.levels, expected_levels(array, store), strict=True):
        np.testing.assert_array_equal(found[...], expected)


def test_it_opens_as_a_label_image_with_its_voxel_size(tmp_path):
    path = tmp_path / "a.ome.zarr"
    LabelStore.create(path, (4, 5, 6), (3, 1.5, 1.5), origin_um=(10, 20, 30))
    store = LabelStore.open(path)
    assert (store.shape, store.voxel_size_um, store.label) == ((4, 5, 6), (3.0, 1.5, 1.5), True)
    with open_volume(path) as volume:
        assert volume.origin_um == (10, 20, 30)


def test_what_is_no_label_image_is_refused(tmp_path):
    write_multiscale(tmp_path / "image.ome.zarr", np.zeros((4, 5, 6), np.uint16), voxel_size_um=(1, 1, 1))
    for path in (tmp_path / "image.ome.zarr", tmp_path / "missing.ome.zarr", tmp_path):
        with pytest.raises(OutputError, match="Not a label image"):
            LabelStore.open(path)

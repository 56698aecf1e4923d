"""Any Image layer becomes a volume, through its own transform; RGB and others say why not."""

import dask.array as da
import numpy as np
import pytest
import zarr
from napari.layers import Image, Labels

from napari_vesselkd.errors import InvalidInputError, UnsupportedSourceError
from napari_vesselkd.geometry import Region
from napari_vesselkd.plugin.layers import KEY, Shown, placement, refusal, transform_like, volume_of
from napari_vesselkd.volume import volume_from_arrays

UM = ("micrometer",) * 3


def read_all(layer, steps=()):
    volume = volume_of(layer, steps).volume
    return volume.read(Region.whole(volume.shape))


def stored(tmp_path, image):
    array = zarr.create_array(tmp_path / "a.zarr", shape=image.shape, chunks=(8, 16, 16), dtype=image.dtype)
    array[:] = image
    return array


@pytest.mark.parametrize(
    "kind", ["numpy", "dask", "zarr", "multiscale numpy", "multiscale dask", "multiscale zarr"]
)
def test_the_voxels_are_those_of_the_layer_whatever_its_data_is(kind, small_image, tmp_path):
    coarse = small_image[::2, ::2, ::2]
    data = {
        "numpy": small_image,
        "dask": da.from_array(small_image, chunks=(8, 16, 16)),
        "zarr": stored(tmp_path, small_image),
        "multiscale numpy": [small_image, coarse],
        "multiscale dask": [da.from_array(a, chunks=(8, 16, 16)) for a in (small_image, coarse)],
        "multiscale zarr": [stored(tmp_path / "0", small_image), stored(tmp_path / "1", coarse)],
    }[kind]
    layer = Image(data, multiscale=kind.startswith("multiscale"), scale=(3, 1, 1), units=UM, name="x")
    np.testing.assert_array_equal(read_all(layer), small_image)
    volume = volume_of(layer).volume
    assert volume.voxel_size_um == (3, 1, 1)
    assert len(volume.levels) == (2 if kind.startswith("multiscale") else 1)


def test_reading_a_region_of_a_dask_layer_computes_only_its_chunks(small_image):
    computed = []
    data = da.from_array(small_image, chunks=(8, 16, 16)).map_blocks(
        lambda block, block_info=None: (computed.append(block_info[0]["chunk-location"]), block)[1],
        dtype=small_image.dtype,
        meta=np.empty((0, 0, 0), small_image.dtype),
    )
    volume = volume_of(Image(data, name="x", contrast_limits=(0, 1000), multiscale=False)).volume
    computed.clear()
    volume.read(Region((0, 0, 0), (8, 16, 16)))
    assert computed == [(0, 0, 0)]


def test_scale_units_and_translation_become_micrometres(small_image):
    layer = Image(small_image, scale=(0.003, 0.001, 0.001), units=("mm",) * 3, translate=(1, 2, 3))
    volume = volume_of(layer).volume
    assert volume.voxel_size_um == pytest.approx((3, 1, 1))
    assert volume.origin_um == pytest.approx((1000, 2000, 3000))
    assert volume.voxel_size_known


def test_an_affine_with_scale_counts_like_a_scale(small_image):
    layer = Image(small_image, affine=np.diag([4.0, 2.0, 2.0, 1.0]), units=UM)
    found = volume_of(layer)
    assert found.volume.voxel_size_um == pytest.approx((4, 2, 2))
    assert found.notices == ()


def test_a_layer_in_pixels_says_that_its_voxel_size_is_a_guess(small_image):
    found = volume_of(Image(small_image, scale=(2, 1, 1), name="raw"))
    assert not found.volume.voxel_size_known
    assert found.volume.voxel_size_um == (2, 1, 1)
    assert any("does not say its voxel size" in notice for notice in found.notices)


def test_a_rotated_layer_is_accepted_with_a_notice_and_its_labels_lie_on_it(small_image):
    layer = Image(small_image, rotate=(0, 0, 30), units=UM, name="tilted", scale=(3, 1, 1))
    found = volume_of(layer)
    assert any("rotated" in notice for notice in found.notices)
    labels = Labels(np.zeros(small_image.shape, np.uint8), **transform_like(layer))
    for corner in ((0, 0, 0), (23, 47, 63), (5, 40, 2)):
        assert labels.data_to_world(corner) == pytest.approx(layer.data_to_world(corner))


@pytest.mark.parametrize("ndim", [2, 3, 4])
def test_labels_of_a_moved_layer_lie_on_it(small_image, ndim):
    data = {2: small_image[0], 3: small_image, 4: np.stack([small_image, small_image])}[ndim]
    layer = Image(data, scale=(3, 2, 1.5, 0.5)[-ndim:], translate=(7, 10, 20, 30)[-ndim:])
    labels = Labels(np.zeros(data.shape[-3:], np.uint8), **transform_like(layer))
    corner = (5, 6, 7)[-labels.ndim :]
    full = (*(0,) * (layer.ndim - labels.ndim), *corner)
    assert labels.data_to_world(corner) == pytest.approx(layer.data_to_world(full)[-labels.ndim :])


def test_a_2d_layer_is_a_volume_of_one_slice(small_image):
    layer = Image(small_image[12], scale=(0.5, 0.5), units=UM[:2])
    assert read_all(layer).shape == (1, 48, 64)
    assert volume_of(layer).volume.voxel_size_um == (0.5, 0.5, 0.5)


def test_a_layer_of_four_axes_is_read_at_the_given_step_and_says_so(small_image):
    layer = Image(np.stack([small_image, small_image + 5]), name="series", axis_labels=("t", "z", "y", "x"))
    np.testing.assert_array_equal(read_all(layer, (1,)), small_image + 5)
    assert any("t = 1" in notice for notice in volume_of(layer, (1,)).notices)
    with pytest.raises(InvalidInputError, match="4 axes"):
        volume_of(layer)


def test_an_rgb_layer_is_refused_with_the_way_out():
    layer = Image(np.zeros((20, 30, 3), np.uint8), rgb=True, name="retina")
    assert "Split RGB" in refusal(layer)
    with pytest.raises(UnsupportedSourceError, match="RGB"):
        volume_of(layer)


def test_labels_are_not_segmented():
    assert "Labels layer" in refusal(Labels(np.zeros((4, 4), np.uint8)))


def test_the_reader_s_volume_is_used_and_follows_a_corrected_scale(small_image):
    volume = volume_from_arrays([small_image], voxel_size_um=(3, 1, 1), name="x")
    layer = Image(small_image, scale=(3, 1, 1), units=UM, metadata={KEY: Shown(volume=volume)})
    assert volume_of(layer).volume is volume
    layer.scale = (6, 2, 2)
    assert volume_of(layer).volume.voxel_size_um == pytest.approx((6, 2, 2))
    assert volume_of(layer).volume.levels is volume.levels


def test_a_layer_whose_data_was_replaced_is_read_again(small_image):
    volume = volume_from_arrays([small_image], voxel_size_um=(1, 1, 1), name="x")
    layer = Image(small_image, units=UM, metadata={KEY: Shown(volume=volume)})
    layer.data = small_image[:10]
    assert volume_of(layer).volume.shape == (10, 48, 64)


def test_placement_reads_the_last_three_axes(small_image):
    layer = Image(np.stack([small_image] * 2), scale=(9, 3, 2, 1), translate=(0, 5, 6, 7))
    place = placement(layer)
    assert place.scale == (3, 2, 1)
    assert place.translate == (5, 6, 7)

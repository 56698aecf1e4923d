"""The writer: what is saved opens again with the same voxels and the same voxel size."""

import numpy as np
import pytest

from napari_vesselkd.errors import OutputError
from napari_vesselkd.geometry import Region
from napari_vesselkd.plugin.reader import read
from napari_vesselkd.plugin.writer import layer_voxel_size_um, write_layer
from napari_vesselkd.volume import open_volume

UM = ("micrometer",) * 3
PLUGIN = "napari-vesselkd"


def reopened(path):
    with open_volume(path) as volume:
        return volume.read(Region.whole(volume.shape)), volume.voxel_size_um


@pytest.mark.parametrize("ending", [".ome.zarr", ".zarr", ".tif", ".nii.gz"])
def test_an_image_layer_survives_saving_and_opening(viewer, tmp_path, small_image, ending):
    layer = viewer.add_image(small_image, scale=(3, 1.5, 1.5), units=UM)
    path = tmp_path / f"saved{ending}"
    assert layer.save(str(path), plugin=PLUGIN) == [str(path)]
    voxels, size = reopened(path)
    np.testing.assert_array_equal(voxels, small_image)
    assert size == pytest.approx((3, 1.5, 1.5))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", [".ome.zarr", ".tif", ".nii.gz"])
def test_a_labels_layer_survives_saving_and_opening(viewer, tmp_path, small_image, ending):
    labels = (small_image > 500).astype(np.uint8)
    layer = viewer.add_labels(labels, scale=(3, 1.5, 1.5), units=UM)
    path = tmp_path / f"saved{ending}"
    assert layer.save(str(path), plugin=PLUGIN) == [str(path)]
    voxels, size = reopened(path)
    np.testing.assert_array_equal(voxels, labels)
    assert size == pytest.approx((3, 1.5, 1.5))


def test_saved_ome_zarr_labels_open_as_labels(tmp_path, small_image):
    labels = (small_image > 500).astype(np.uint8)
    path = write_layer(tmp_path / "a.ome.zarr", labels, {"scale": (1, 1, 1), "units": UM}, label=True)
    assert read(str(path))[0][2] == "labels"


def test_only_the_finest_level_of_a_multiscale_layer_is_written_and_the_pyramid_made_again(
    tmp_path, small_image
):
    meta = {"scale": (1, 1, 1), "units": UM, "multiscale": True}
    path = write_layer(tmp_path / "a.tif", [small_image, small_image[::2, ::2, ::2]], meta, label=False)
    np.testing.assert_array_equal(reopened(path)[0], small_image)


def test_a_2d_layer_becomes_one_slice(tmp_path, small_image):
    meta = {"scale": (0.5, 0.5), "units": UM[:2]}
    path = write_layer(tmp_path / "a.ome.zarr", small_image[0], meta, label=False)
    voxels, size = reopened(path)
    np.testing.assert_array_equal(voxels[0], small_image[0])
    assert size == (0.5, 0.5, 0.5)


def test_units_are_converted_to_micrometres():
    assert layer_voxel_size_um({"scale": (3, 1, 1), "units": ("nanometer",) * 3}) == pytest.approx(
        (3e-3, 1e-3, 1e-3)
    )
    assert layer_voxel_size_um({"scale": (3, 1, 1), "units": ("pixel",) * 3}) == (3, 1, 1)


def test_an_older_file_is_replaced_whole(tmp_path, small_image):
    path = tmp_path / "a.ome.zarr"
    for image in (small_image, small_image[:8]):
        write_layer(path, image, {"scale": (1, 1, 1), "units": UM}, label=False)
    assert reopened(path)[0].shape == (8, 48, 64)


@pytest.mark.parametrize("name", ["a.png", "a"])
def test_an_unknown_ending_is_refused(tmp_path, small_image, name):
    with pytest.raises(OutputError, match="unknown ending"):
        write_layer(tmp_path / name, small_image, {}, label=False)
    assert list(tmp_path.iterdir()) == []


def test_rgb_and_4d_layers_are_refused(tmp_path, small_image):
    with pytest.raises(OutputError, match="RGB"):
        write_layer(tmp_path / "a.tif", np.zeros((8, 8, 3), np.uint8), {"rgb": True}, label=False)
    with pytest.raises(OutputError, match="4 axes"):
        write_layer(tmp_path / "a.tif", small_image[None], {}, label=False)


def test_a_failure_half_way_leaves_nothing_and_keeps_the_older_file(tmp_path, small_image):
    class Breaks:
        shape, dtype, ndim = (600, 48, 64), np.dtype("uint16"), 3

        def __getitem__(self, index):
            if index[0].start > 100:
                raise OSError("disk gone")
            return np.zeros((128, 48, 64), np.uint16)

    path = tmp_path / "a.ome.zarr"
    write_layer(path, small_image, {"scale": (1, 1, 1), "units": UM}, label=False)
    with pytest.raises((OutputError, OSError)):
        write_layer(path, Breaks(), {"scale": (1, 1, 1), "units": UM}, label=False)
    assert [p.name for p in tmp_path.iterdir()] == ["a.ome.zarr"]
    np.testing.assert_array_equal(reopened(path)[0], small_image)

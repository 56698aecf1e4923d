"""The reader: only what is ours, lazily, with the right proportions in a real window."""

import numpy as np
import pytest
import tifffile
import zarr

from napari_vesselkd.errors import VesselKDError
from napari_vesselkd.geometry import Region
from napari_vesselkd.phantoms import PhantomConfig, make_phantom, write_phantom
from napari_vesselkd.plugin.layers import shown_by, volume_of
from napari_vesselkd.plugin.live_level import LiveLevel
from napari_vesselkd.plugin.reader import display_range, get_reader, read
from napari_vesselkd.volume import create_multiscale, volume_from_arrays, write_multiscale

PLUGIN = "napari-vesselkd"


@pytest.fixture
def ome_zarr(tmp_path, small_image):
    path = tmp_path / "brain.ome.zarr"
    write_multiscale(path, small_image, voxel_size_um=(3, 1.5, 1.5))
    return path


def test_the_reader_takes_zarr_folders_and_volume_files(tmp_path, ome_zarr):
    assert get_reader(str(ome_zarr)) is read
    for name in ("a.tif", "a.TIFF", "a.nii", "a.nii.gz", "a.h5", "a.hdf5", "a.mha", "a.mhd", "a.nrrd"):
        assert get_reader(str(tmp_path / name)) is read, name
    plain = tmp_path / "no_ending"
    zarr.create_array(plain, shape=(4, 4, 4), dtype="uint8")
    assert get_reader(str(plain)) is read


def test_the_reader_leaves_everything_else_to_napari(tmp_path):
    for name in ("a.png", "a.jpg", "a.csv", "a.npy", "a.tif.txt"):
        assert get_reader(str(tmp_path / name)) is None, name
    (tmp_path / "photos").mkdir()
    for index in range(3):
        (tmp_path / "photos" / f"{index}.png").touch()
    assert get_reader(str(tmp_path / "photos")) is None
    (tmp_path / "empty").mkdir()
    assert get_reader(str(tmp_path / "empty")) is None
    assert get_reader([str(tmp_path / "a.tif"), str(tmp_path / "b.tif")]) is None


def test_a_folder_of_slices_is_taken_after_looking_at_a_few_names(tmp_path):
    folder = tmp_path / "slices"
    folder.mkdir()
    for index in range(4):
        tifffile.imwrite(folder / f"{index:03}.tif", np.full((16, 20), index, np.uint16))
    assert get_reader(str(folder)) is read
    data, _, kind = read(str(folder))[0]
    assert kind == "image"
    assert tuple(data.shape) == (4, 16, 20)


def test_levels_are_read_chunk_by_chunk_from_zarr_never_through_dask(ome_zarr):
    data, kwargs, _ = read(str(ome_zarr))[0]
    levels = data if kwargs["multiscale"] else [data]
    assert all(isinstance(level, LiveLevel) for level in levels)
    assert all(isinstance(level, zarr.Array) for level in kwargs["metadata"]["vesselkd"].volume.levels)


def test_the_layer_has_the_voxel_size_the_units_and_the_name(viewer, ome_zarr):
    (layer,) = viewer.open(str(ome_zarr), plugin=PLUGIN)
    assert layer.name == "brain"
    assert tuple(layer.scale) == (3, 1.5, 1.5)
    assert [str(unit) for unit in layer.units] == ["micrometer"] * 3
    assert layer.axis_labels == ("z", "y", "x")
    np.testing.assert_allclose(layer.extent.world[1] - layer.extent.world[0], (23 * 3, 47 * 1.5, 63 * 1.5))
    assert shown_by(layer).volume.path == ome_zarr


def test_a_volume_without_voxel_size_is_shown_in_pixels(viewer, tmp_path, small_image):
    tifffile.imwrite(tmp_path / "raw.tif", small_image)
    (layer,) = viewer.open(str(tmp_path / "raw.tif"), plugin=PLUGIN)
    assert tuple(layer.scale) == (1, 1, 1)
    assert str(layer.units[0]) == "pixel"


def test_an_origin_becomes_a_translation(tmp_path, small_image):
    path = tmp_path / "moved.ome.zarr"
    create_multiscale(path, small_image.shape, "uint16", voxel_size_um=(3, 1, 1), origin_um=(30, 20, 10))
    _, kwargs, _ = read(str(path))[0]
    assert tuple(kwargs["translate"]) == (30, 20, 10)


def test_each_channel_is_its_own_layer_over_one_file(viewer, tmp_path, small_image):
    path = tmp_path / "two.ome.tif"
    both = np.stack([small_image, small_image[::-1]])
    metadata = {"axes": "CZYX", "Channel": {"Name": ["vessels", "nuclei"]}}
    tifffile.imwrite(path, both, ome=True, metadata=metadata)
    layers = viewer.open(str(path), plugin=PLUGIN)
    assert [layer.name for layer in layers] == ["two: vessels", "two: nuclei"]
    for index, layer in enumerate(layers):
        volume = volume_of(layer).volume
        assert volume.channel == index
        np.testing.assert_array_equal(volume.read(Region.whole(volume.shape)), both[index])


def test_label_images_become_labels_layers(viewer, tmp_path, small_image):
    path = tmp_path / "vessels.ome.zarr"
    write_multiscale(path, (small_image > 500).astype(np.uint8), voxel_size_um=(3, 1, 1), label=True)
    (layer,) = viewer.open(str(path), plugin=PLUGIN)
    assert type(layer).__name__ == "Labels"
    assert tuple(layer.scale) == (3, 1, 1)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.zeros((4, 8, 8), np.uint8), (0, 255)),
        (np.full((4, 8, 8), 7.0, np.float32), (7, 8)),
        (np.full((4, 8, 8), np.nan, np.float32), (0, 1)),
        (np.zeros((4, 8, 8), bool), (0, 1)),
    ],
)
def test_contrast_limits_of_a_flat_volume_can_be_shown(array, expected):
    assert display_range(volume_from_arrays([array], voxel_size_um=(1, 1, 1))) == expected


def test_contrast_limits_come_from_a_bounded_part_of_the_coarsest_level():
    read_shapes = []

    class Spy:
        shape, dtype, ndim, chunks = (4000, 4000, 4000), np.dtype("uint8"), 3, (64, 64, 64)

        def __getitem__(self, index):
            block = np.broadcast_to(np.arange(100, dtype=np.uint8), (16, 256, 100))
            read_shapes.append([s.stop - s.start for s in index])
            return block

    low, high = display_range(volume_from_arrays([Spy()], voxel_size_um=(1, 1, 1)))
    assert low < high
    assert read_shapes == [[16, 256, 256]]


def test_a_broken_file_gives_the_package_s_error(tmp_path):
    (tmp_path / "text.tif").write_text("not a tiff")
    with pytest.raises(VesselKDError, match=r"text\.tif"):
        read(str(tmp_path / "text.tif"))


def test_a_phantom_on_disk_opens_with_its_own_proportions(viewer, tmp_path):
    phantom = make_phantom(PhantomConfig(shape=(24, 64, 64), seed=3, voxel_size_um=(5.0, 1.6, 1.6)))
    write_phantom(phantom, tmp_path / "p")
    (image,) = viewer.open(str(tmp_path / "p" / "image.ome.zarr"), plugin=PLUGIN)
    (label,) = viewer.open(str(tmp_path / "p" / "label.ome.zarr"), plugin=PLUGIN)
    assert tuple(image.scale) == tuple(label.scale) == pytest.approx((5.0, 1.6, 1.6))
    assert type(label).__name__ == "Labels"


REAL = {
    "vesselnn_2photon/images/*.tif": (7, None),
    "vesselexpress_lightsheet/image.tif": (1, None),
    "vmtk_aorta/aorta.mha": (1, (1500.0, 879.0, 879.0)),
    "totalseg_cta/*/ct_cropped.nii.gz": (2, (1500.0, 1500.0, 1500.0)),
}


@pytest.mark.slow
@pytest.mark.parametrize("pattern", REAL)
def test_the_real_volumes_open_in_a_window_with_their_proportions(viewer, vesselkd_data, pattern):
    count, voxel_size = REAL[pattern]
    paths = sorted(vesselkd_data.glob(pattern))
    assert len(paths) == count
    for path in paths:
        (layer,) = viewer.open(str(path), plugin=PLUGIN)
        volume = shown_by(layer).volume
        if voxel_size is not None:
            assert volume.voxel_size_um == pytest.approx(voxel_size, rel=0.01)
        extent = layer.extent.world
        lengths = (np.array(volume.shape) - 1) * volume.voxel_size_um
        np.testing.assert_allclose(extent[1] - extent[0], lengths, rtol=1e-5, err_msg=str(path))
        low, high = layer.contrast_limits
        assert low < high
        viewer.layers.clear()
        del layer, volume

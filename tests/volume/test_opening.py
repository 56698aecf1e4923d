from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_vesselkd.errors import InvalidInputError, UnsupportedSourceError, VoxelSizeError
from napari_vesselkd.geometry import Region
from napari_vesselkd.volume import AxisView, open_volume, volume_from_arrays

AXIS_TYPES = {"t": "time", "c": "channel"}


def write_ome(folder: Path, array: np.ndarray, axes: str, unit: str = "micrometer", **extra: Any) -> Path:
    """Write a one-level OME-Zarr 0.5 with any axes, by hand."""
    group = zarr.create_group(folder)
    level = group.create_array("s0", shape=array.shape, dtype=array.dtype, chunks=array.shape)
    level[...] = array
    scale = [{"z": 3.0, "y": 2.0, "x": 0.5}.get(axis, 1.0) for axis in axes]
    entries = [
        {"name": a, "type": AXIS_TYPES.get(a, "space"), **({"unit": unit} if a in "zyx" else {})}
        for a in axes
    ]
    image = {
        "axes": entries,
        "datasets": [{"path": "s0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}],
        **extra,
    }
    group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}
    return folder


BASE = np.random.default_rng(0).integers(0, 255, (1, 3, 5, 6, 7)).astype(np.uint8)


@pytest.mark.parametrize("axes", ["tczyx", "czyx", "zyx", "cyx", "yx", "tzyx", "zcyx", "xyz", "tcyx"])
def test_axes_of_any_order_become_zyx(tmp_path: Path, axes: str) -> None:
    take = tuple(slice(None) if axis in axes else 0 for axis in "tczyx")
    array = BASE[take].transpose(["".join(a for a in "tczyx" if a in axes).index(a) for a in axes])
    channel = 2 if "c" in axes else 0
    with open_volume(write_ome(tmp_path / "v.zarr", array, axes), channel=channel) as volume:
        expected = BASE[0, channel] if "z" in axes else BASE[0, channel, :1]
        np.testing.assert_array_equal(volume.read(Region.whole(volume.shape)), expected)
        assert volume.voxel_size_um == (3.0 if "z" in axes else 1.0, 2.0, 0.5)
        assert len(volume.channel_names) == (3 if "c" in axes else 0)


def test_three_dimensional_zarr_levels_are_the_zarr_arrays_themselves(tmp_path: Path) -> None:
    with open_volume(write_ome(tmp_path / "v.zarr", BASE[0, 0], "zyx")) as volume:
        assert isinstance(volume.levels[0], zarr.Array)
    with open_volume(write_ome(tmp_path / "c.zarr", BASE[0], "czyx")) as volume:
        assert isinstance(volume.levels[0], AxisView)


@pytest.mark.parametrize(("unit", "um"), [("nanometer", 1e-3), ("millimeter", 1e3), ("micrometer", 1.0)])
def test_units_become_um(tmp_path: Path, unit: str, um: float) -> None:
    with open_volume(write_ome(tmp_path / "v.zarr", BASE[0, 0], "zyx", unit)) as volume:
        assert volume.voxel_size_um == pytest.approx((3 * um, 2 * um, 0.5 * um))


def test_a_transform_of_the_whole_image_is_applied_after_the_level(tmp_path: Path) -> None:
    steps = [{"type": "scale", "scale": [2, 2, 2]}, {"type": "translation", "translation": [1, 2, 3]}]
    path = write_ome(tmp_path / "v.zarr", BASE[0, 0], "zyx", coordinateTransformations=steps)
    with open_volume(path) as volume:
        assert volume.voxel_size_um == (6, 4, 1)
        assert volume.origin_um == (1, 2, 3)


def test_a_time_series_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedSourceError, match=r"time series: 3 time points \(allowed: one\)"):
        open_volume(write_ome(tmp_path / "v.zarr", BASE[0], "tzyx"))


def test_channels_have_names_and_a_limit(tmp_path: Path) -> None:
    path = write_ome(tmp_path / "v.zarr", BASE[0], "czyx")
    group = zarr.open_group(path)
    group.attrs["ome"] = {
        **group.attrs["ome"],  # type: ignore[dict-item]
        "omero": {"channels": [{"label": "nuclei"}, {"label": "vessels"}, {"label": "x"}]},
    }
    with open_volume(path, channel=1) as volume:
        assert volume.channel_names == ("nuclei", "vessels", "x")
        assert volume.channel == 1
    with pytest.raises(InvalidInputError, match=r"no such channel: 3 \(allowed: 0\.\.2\)"):
        open_volume(path, channel=3)
    with pytest.raises(InvalidInputError, match="no such channel: -1"):
        open_volume(path, channel=-1)


@pytest.mark.parametrize("scale", [[0, 1, 1], [1, -1, 1], [1, 1, float("nan")], [1, 1, float("inf")]])
def test_a_broken_voxel_size_in_the_file_is_an_error_that_a_given_one_repairs(
    tmp_path: Path, scale: list[float]
) -> None:
    path = write_ome(tmp_path / "v.zarr", BASE[0, 0], "zyx")
    metadata = json.loads((path / "zarr.json").read_text())
    dataset = metadata["attributes"]["ome"]["multiscales"][0]["datasets"][0]
    dataset["coordinateTransformations"][0]["scale"] = scale
    (path / "zarr.json").write_text(json.dumps(metadata))
    with pytest.raises(VoxelSizeError, match=r"metadata of .*v\.zarr.*Give the right one with --voxel-size"):
        open_volume(path)
    with open_volume(path, voxel_size_um=(1, 2, 3)) as volume:
        assert volume.voxel_size_um == (1, 2, 3)


@pytest.mark.parametrize("size", [(0, 1, 1), (1, -1, 1), (1, 1, float("nan")), (1, 1)])
def test_a_given_voxel_size_must_be_usable(written: Callable[..., Path], size: tuple[float, ...]) -> None:
    with pytest.raises(VoxelSizeError, match="three positive finite numbers"):
        open_volume(written("tiff", BASE[0, 0]), voxel_size_um=size)


def test_old_versions_without_axes_are_tczyx(tmp_path: Path) -> None:
    group = zarr.create_group(tmp_path / "v.zarr", zarr_format=2)
    group.create_array("0", shape=BASE.shape, dtype="u1", chunks=BASE.shape)[...] = BASE
    group.attrs["multiscales"] = [{"version": "0.1", "datasets": [{"path": "0"}]}]
    with open_volume(tmp_path / "v.zarr", channel=1) as volume:
        assert volume.format == "ome-zarr 0.1"
        assert not volume.voxel_size_known
        np.testing.assert_array_equal(volume.read(Region.whole(volume.shape)), BASE[0, 1])


def test_a_bioformats_folder_opens_its_only_image(tmp_path: Path) -> None:
    zarr.create_group(tmp_path / "v.zarr").attrs["ome"] = {"version": "0.5", "bioformats2raw.layout": 3}
    write_ome(tmp_path / "v.zarr" / "0", BASE[0, 0], "zyx")
    with open_volume(tmp_path / "v.zarr") as volume:
        assert volume.shape == (5, 6, 7)
    write_ome(tmp_path / "v.zarr" / "1", BASE[0, 0], "zyx")
    with pytest.raises(UnsupportedSourceError, match=r"holds 0, 1.*Open one of its images"):
        open_volume(tmp_path / "v.zarr")


def test_plain_zarr_takes_its_axes_from_dimension_names(tmp_path: Path) -> None:
    array = zarr.create_array(
        tmp_path / "v.zarr", shape=(7, 6, 5), dtype="u1", dimension_names=["x", "y", "z"], chunks=(7, 6, 5)
    )
    array[...] = BASE[0, 0].T
    with open_volume(tmp_path / "v.zarr") as volume:
        np.testing.assert_array_equal(volume.read(Region.whole(volume.shape)), BASE[0, 0])


def test_sharded_zarr_is_read(tmp_path: Path) -> None:
    array = zarr.create_array(
        tmp_path / "v.zarr", shape=(8, 16, 16), dtype="u2", chunks=(4, 4, 4), shards=(8, 8, 8)
    )
    array[:, :8] = 5
    with open_volume(tmp_path / "v.zarr") as volume:
        assert volume.chunks == (4, 4, 4)
        assert volume.read(Region((0, 0, 0), (8, 16, 16))).sum() == 5 * 8 * 8 * 16
        assert volume.missing_chunks() == 2


@pytest.mark.parametrize("separator", [":", "::", ":/", "::/"])
def test_an_hdf5_dataset_can_be_named(written: Callable[..., Path], separator: str) -> None:
    path = written("hdf5", BASE[0, 0])
    with open_volume(f"{path}{separator}small") as volume:
        assert volume.shape == (2, 2, 2)
        assert volume.path == path
    with open_volume(f"{path}{separator}raw/image") as volume:
        assert volume.shape == (5, 6, 7)
    with pytest.raises(InvalidInputError, match=r"no dataset of that name: nothing .*raw/image"):
        open_volume(f"{path}{separator}nothing")


def test_ilastik_axistags_are_followed(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "v.h5", "w") as file:
        dataset = file.create_dataset("exported_data", data=np.moveaxis(BASE[0], 0, -1))
        dataset.attrs["axistags"] = json.dumps({"axes": [{"key": key} for key in "zyxc"]})
    with open_volume(tmp_path / "v.h5", channel=2) as volume:
        np.testing.assert_array_equal(volume.read(Region.whole(volume.shape)), BASE[0, 2])


def test_slices_come_in_natural_order(tmp_path: Path) -> None:
    import tifffile

    for number in (2, 10, 1):
        tifffile.imwrite(tmp_path / f"slice{number}.tif", np.full((4, 5), number, np.uint8))
    with open_volume(tmp_path) as volume:
        assert volume.read(Region((0, 0, 0), (3, 1, 1))).ravel().tolist() == [1, 2, 10]


def test_ome_tiff_channels_and_pyramid_are_levels(tmp_path: Path) -> None:
    import tifffile

    image = np.random.default_rng(0).integers(0, 255, (2, 4, 64, 64)).astype(np.uint8)
    metadata = {
        "axes": "CZYX",
        "PhysicalSizeX": 0.5,
        "PhysicalSizeY": 0.5,
        "PhysicalSizeZ": 2,
        "Channel": {"Name": ["a", "b"]},
    }
    with tifffile.TiffWriter(tmp_path / "v.ome.tif") as tiff:
        tiff.write(image, subifds=1, metadata=metadata, tile=(32, 32))
        tiff.write(image[..., ::2, ::2], subfiletype=1, tile=(32, 32))
    with open_volume(tmp_path / "v.ome.tif", channel=1) as volume:
        assert volume.channel_names == ("a", "b")
        assert [level.shape for level in volume.levels] == [(4, 64, 64), (4, 32, 32)]
        assert volume.level_voxel_sizes_um == ((2, 0.5, 0.5), (2, 1, 1))
        np.testing.assert_array_equal(volume.read(Region((0, 0, 0), (4, 32, 32)), 1), image[1, :, ::2, ::2])


def test_nifti_scaling_and_origin_are_applied(tmp_path: Path) -> None:
    import nibabel

    affine = np.array([[0.5, 0, 0, 7], [0, 2, 0, 8], [0, 0, 3, 9], [0, 0, 0, 1]])
    image = nibabel.Nifti1Image(BASE[0, 0].T.astype(np.int16), affine)
    image.header.set_xyzt_units("mm")
    image.header.set_slope_inter(2, 1)
    nibabel.save(image, tmp_path / "v.nii")
    stored = np.asarray(nibabel.load(tmp_path / "v.nii").dataobj)
    with open_volume(tmp_path / "v.nii") as volume:
        np.testing.assert_allclose(volume.read(Region.whole(volume.shape)), stored.T)
        assert volume.dtype == np.float32
        assert volume.voxel_size_um == (3000, 2000, 500)
        assert volume.origin_um == (9000, 8000, 7000)


def test_nifti_without_a_unit_is_a_guess_of_mm(tmp_path: Path) -> None:
    import nibabel

    nibabel.save(nibabel.Nifti1Image(BASE[0, 0].T, np.diag([1, 2, 3, 1])), tmp_path / "v.nii.gz")
    with open_volume(tmp_path / "v.nii.gz") as volume:
        assert volume.voxel_size_um == (3000, 2000, 1000)
        assert not volume.voxel_size_known


def test_the_other_byte_order_is_turned(tmp_path: Path) -> None:
    import nibabel
    import tifffile

    image = BASE[0, 0].astype(">u2") * 256 + 1
    tifffile.imwrite(tmp_path / "v.tif", image, byteorder=">", photometric="minisblack")
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(image.dtype)
    nibabel.save(nibabel.Nifti1Image(image.T, np.eye(4), header), tmp_path / "v.nii")
    assert np.frombuffer((tmp_path / "v.nii").read_bytes()[:4], ">i4") == 348
    zarr.create_array(tmp_path / "v.zarr", data=image, zarr_format=2)
    for name in ("v.tif", "v.nii", "v.zarr"):
        with open_volume(tmp_path / name) as volume:
            block = volume.read(Region.whole(volume.shape))
            assert volume.dtype == block.dtype == np.dtype(np.uint16)
            np.testing.assert_array_equal(block, image)


def test_a_flat_picture_is_one_slice(tmp_path: Path) -> None:
    import skimage.io

    skimage.io.imsave(tmp_path / "v.png", BASE[0, 0, 0], check_contrast=False)
    skimage.io.imsave(tmp_path / "c.png", np.moveaxis(BASE[0, :, 0], 0, -1), check_contrast=False)
    with open_volume(tmp_path / "v.png") as volume:
        assert volume.format == "picture"
        np.testing.assert_array_equal(volume.read(Region.whole(volume.shape)), BASE[0, :1, 0])
    with pytest.raises(UnsupportedSourceError, match="RGB image"):
        open_volume(tmp_path / "c.png")
    with open_volume(tmp_path / "c.png", channel=1) as volume:
        np.testing.assert_array_equal(volume.read(Region.whole(volume.shape)), BASE[0, 1:2, 0])


@pytest.mark.parametrize(
    ("units", "size", "known"),
    [
        (b'space units: "um" "um" "um"\n', (3, 2, 1), True),
        (b'space units: "mm" "mm" "mm"\n', (3000, 2000, 1000), True),
        (b"", (3000, 2000, 1000), True),
        (None, (1, 1, 1), False),
    ],
)
def test_nrrd_units_are_followed(
    tmp_path: Path, units: bytes | None, size: tuple[float, ...], known: bool
) -> None:
    lines = [
        b"NRRD0004",
        b"type: uint8",
        b"dimension: 3",
        b"sizes: 7 6 5",
        b"encoding: raw",
        b"endian: little",
    ]
    if units is not None:
        lines += [b"space dimension: 3", b"space directions: (1,0,0) (0,2,0) (0,0,3)"]
    header = b"\n".join(lines) + b"\n" + (units or b"")
    (tmp_path / "v.nrrd").write_bytes(header + b"\n" + BASE[0, 0].tobytes())
    with open_volume(tmp_path / "v.nrrd") as volume:
        np.testing.assert_array_equal(volume.read(Region.whole(volume.shape)), BASE[0, 0])
        assert volume.voxel_size_um == size
        assert volume.voxel_size_known == known


@pytest.mark.parametrize("kind", ["numpy", "dask", "zarr", "view"])
def test_arrays_of_any_library_are_a_volume(kind: str) -> None:
    import dask.array

    image = BASE[0, 0]
    array = {
        "numpy": image,
        "dask": dask.array.from_array(image, chunks=(2, 3, 4)),
        "zarr": zarr.array(image, chunks=(2, 3, 4)),
        "view": AxisView(BASE, "tczyx"),
    }[kind]
    volume = volume_from_arrays([array, array[::2, ::2, ::2]], voxel_size_um=(3, 2, 1), name="layer")
    assert volume.format == "array"
    assert volume.path is None
    assert volume.level_voxel_sizes_um == ((3, 2, 1), (6, 4, 2))
    assert volume.chunks == ((2, 3, 4) if kind in ("dask", "zarr") else (1, 6, 7))
    block = volume.read(Region((1, 1, 1), (4, 5, 6)))
    assert isinstance(block, np.ndarray)
    np.testing.assert_array_equal(block, image[1:4, 1:5, 1:6])


def test_arrays_of_unknown_size_are_1_um() -> None:
    volume = volume_from_arrays([BASE[0, 0]], voxel_size_um=None)
    assert volume.voxel_size_um == (1, 1, 1)
    assert not volume.voxel_size_known
    assert not volume_from_arrays(
        [BASE[0, 0]], voxel_size_um=(2, 2, 2), voxel_size_known=False
    ).voxel_size_known


def test_a_2d_array_is_one_slice() -> None:
    assert volume_from_arrays([BASE[0, 0, 0]], voxel_size_um=None).shape == (1, 6, 7)


@pytest.mark.parametrize(
    "array", [np.zeros(3), np.zeros((2,) * 6), np.zeros((2, 3, 4), complex), np.zeros((0, 3, 4))]
)
def test_arrays_that_are_no_volume_are_an_error(array: np.ndarray) -> None:
    with pytest.raises(UnsupportedSourceError):
        volume_from_arrays([array], voxel_size_um=None)


def test_no_array_is_an_error() -> None:
    with pytest.raises(InvalidInputError, match="at least one array"):
        volume_from_arrays([], voxel_size_um=None)


def test_the_name_is_the_file_without_its_ending(tmp_path: Path, written: Callable[..., Path]) -> None:
    for kind in ("ome-tiff", "nifti, gzipped", "hdf5", "ome-zarr 0.5"):
        with open_volume(written(kind, BASE[0, 0])) as volume:
            assert volume.name == "v"
    with open_volume(written("tiff folder", BASE[0, 0])) as volume:
        assert volume.name == "slices"

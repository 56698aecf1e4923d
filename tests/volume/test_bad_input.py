"""Every bad source: one clear error, nothing allocated, no file left open."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import zarr

from napari_vesselkd.errors import (
    CorruptSourceError,
    SourceNotFoundError,
    UnsupportedSourceError,
    VesselKDError,
    VoxelSizeError,
)
from napari_vesselkd.geometry import Region
from napari_vesselkd.volume import measure_intensity_window, open_volume, write_multiscale

Write = Callable[..., Path]
HUGE = 10**5


@pytest.fixture(autouse=True)
def no_open_files(tmp_path: Path) -> Iterator[None]:
    yield
    left = [file.path for file in psutil.Process(os.getpid()).open_files() if str(tmp_path) in file.path]
    assert left == []


def read_all(path: Path | str, **options: int) -> np.ndarray:
    with open_volume(path, **options) as volume:
        return volume.read(Region.whole(volume.shape))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match=r"no such file or folder: .*nothing\.tif"):
        open_volume(tmp_path / "nothing.tif")


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedSourceError, match="is an empty folder"):
        open_volume(tmp_path)


def test_a_folder_without_slices(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(UnsupportedSourceError, match="folder without TIFF slices: 1 other files"):
        open_volume(tmp_path)


def test_an_unknown_ending(tmp_path: Path) -> None:
    (tmp_path / "v.xyz").write_text("x")
    with pytest.raises(UnsupportedSourceError, match=r"unknown ending: \.xyz \(allowed: \.tif, .*\.zarr"):
        open_volume(tmp_path / "v.xyz")


def test_a_picture_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "v.png").write_text("text")
    with pytest.raises(CorruptSourceError, match=r"v\.png cannot be read as a picture"):
        open_volume(tmp_path / "v.png")


TRUNCATABLE = [
    "tiff",
    "tiff in compressed strips",
    "tiff in tiles",
    "tiff by ImageJ",
    "ome-tiff",
    "nifti",
    "nifti, gzipped",
    "hdf5",
    "mha",
    "nrrd",
]


@pytest.mark.parametrize("kind", TRUNCATABLE)
@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 0.99])
def test_a_truncated_file(written: Write, image: np.ndarray, kind: str, share: float) -> None:
    path = written(kind, image)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CorruptSourceError, match=path.name):
        read_all(path)


@pytest.mark.parametrize("kind", TRUNCATABLE)
@pytest.mark.parametrize(
    "content", [b"", b"just a text, whatever its name says\n" * 50], ids=["empty", "text"]
)
def test_a_file_that_is_not_what_its_name_says(
    written: Write, image: np.ndarray, kind: str, content: bytes
) -> None:
    path = written(kind, image)
    path.write_bytes(content)
    with pytest.raises(CorruptSourceError, match=path.name):
        open_volume(path)


def test_slices_of_different_shapes(written: Write, image: np.ndarray) -> None:
    import tifffile

    folder = written("tiff folder", image)
    tifffile.imwrite(folder / "z5.tif", image[5, :-1])
    with pytest.raises(CorruptSourceError, match=r"not equal: z5\.tif is 39 x 52 uint16 \(allowed: 40 x 52"):
        open_volume(folder)


def test_slices_of_different_types(written: Write, image: np.ndarray) -> None:
    import tifffile

    folder = written("tiff folder", image)
    tifffile.imwrite(folder / "z7.tif", image[7].astype(np.float32))
    with pytest.raises(CorruptSourceError, match=r"z7\.tif is 40 x 52 float32"):
        open_volume(folder)


def test_a_slice_that_changes_after_opening_is_named(written: Write, image: np.ndarray) -> None:
    import tifffile

    folder = written("tiff folder", image)
    with open_volume(folder) as volume:
        tifffile.imwrite(folder / "z5.tif", image[5, :-1])
        with pytest.raises(CorruptSourceError, match=r"z5\.tif"):
            volume.read(Region((4, 0, 0), (6, 2, 2)))


def test_a_folder_of_stacks(written: Write, image: np.ndarray) -> None:
    path = written("tiff", image)
    with pytest.raises(UnsupportedSourceError, match=r"v\.tif is not a single slice: 12 pages"):
        open_volume(path.parent)


def test_a_zarr_without_metadata(tmp_path: Path) -> None:
    (tmp_path / "v.zarr" / "0").mkdir(parents=True)
    with pytest.raises(CorruptSourceError, match=r"v\.zarr holds no zarr metadata"):
        open_volume(tmp_path / "v.zarr")


def without(*keys: str | int) -> Callable[[dict], None]:
    def edit(attributes: dict) -> None:
        node = attributes
        for key in keys[:-1]:
            node = node[key]
        del node[keys[-1]]

    return edit


def with_value(value: object, *keys: str | int) -> Callable[[dict], None]:
    def edit(attributes: dict) -> None:
        node = attributes
        for key in keys[:-1]:
            node = node[key]
        node[keys[-1]] = value

    return edit


FIRST = ("multiscales", 0)
SCALE = (*FIRST, "datasets", 0, "coordinateTransformations", 0, "scale")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize(
    ("edit", "error"),
    [
        (without("multiscales"), UnsupportedSourceError),
        (with_value([], "multiscales"), CorruptSourceError),
        (with_value("text", "multiscales"), CorruptSourceError),
        (with_value([], *FIRST, "datasets"), CorruptSourceError),
        (without(*FIRST, "datasets"), CorruptSourceError),
        (with_value("77", *FIRST, "datasets", 1, "path"), CorruptSourceError),
        (without(*FIRST, "axes", 0), CorruptSourceError),
        (with_value("y", *FIRST, "axes", 0, "name"), CorruptSourceError),
        (without(*FIRST, "axes", 2), CorruptSourceError),
        (with_value([1, 1], *SCALE), CorruptSourceError),
        (with_value(["a", 1, 1], *SCALE), CorruptSourceError),
        (with_value([0, 1, 1], *SCALE), VoxelSizeError),
        (with_value([-1, 1, 1], *SCALE), VoxelSizeError),
        (with_value([float("nan"), 1, 1], *SCALE), VoxelSizeError),
    ],
)
def test_a_zarr_with_broken_ome_metadata(
    tmp_path: Path, image: np.ndarray, version: str, edit: Callable[[dict], None], error: type[VesselKDError]
) -> None:
    write_multiscale(tmp_path / "v.zarr", image, voxel_size_um=(1, 1, 1), levels=2, ome_version=version)
    file = tmp_path / "v.zarr" / ("zarr.json" if version == "0.5" else ".zattrs")
    metadata = json.loads(file.read_text())
    edit(metadata["attributes"]["ome"] if version == "0.5" else metadata)
    file.write_text(json.dumps(metadata))
    with pytest.raises(error, match=r"v\.zarr"):
        open_volume(tmp_path / "v.zarr")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("damage", ["{broken", "", "{}", "[]", None])
@pytest.mark.parametrize("level", [False, True])
def test_a_zarr_with_broken_json(
    tmp_path: Path, image: np.ndarray, version: str, damage: str | None, level: bool
) -> None:
    write_multiscale(tmp_path / "v.zarr", image, voxel_size_um=(1, 1, 1), levels=1, ome_version=version)
    name = "zarr.json" if version == "0.5" else (".zarray" if level else ".zattrs")
    file = tmp_path / "v.zarr" / ("0" if level else "") / name
    if damage is None:
        file.unlink()
    else:
        file.write_text(damage)
    if level or version == "0.5" or damage not in (None, "{}"):
        with pytest.raises(CorruptSourceError, match=r"v\.zarr"):
            open_volume(tmp_path / "v.zarr")
    else:  # a zarr v2 group without attributes is a group, and its only array is taken
        assert open_volume(tmp_path / "v.zarr").format == "zarr v2"


def test_a_broken_gzip_stream(written: Write, image: np.ndarray) -> None:
    path = written("nifti, gzipped", image)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 500] = b"\xff" * 500
    path.write_bytes(content)
    with pytest.raises(CorruptSourceError, match=r"v\.nii\.gz cannot be read: broken gzip stream"):
        read_all(path)


def test_gzip_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "v.nii.gz").write_bytes(gzip.compress(b"text" * 1000))
    with pytest.raises(CorruptSourceError, match="is not a NIfTI file"):
        open_volume(tmp_path / "v.nii.gz")


def test_a_gzip_of_several_members_is_fine(written: Write, image: np.ndarray) -> None:
    path = written("nifti, gzipped", image)
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content[:9000]) + gzip.compress(content[9000:]))
    np.testing.assert_array_equal(read_all(path), image)


RGB = np.random.default_rng(0).integers(0, 255, (40, 50, 3)).astype(np.uint8)


def rgb_tiff(folder: Path) -> Path:
    import tifffile

    tifffile.imwrite(folder / "v.tif", RGB, photometric="rgb")
    return folder / "v.tif"


def planar_rgb_tiff(folder: Path) -> Path:
    import tifffile

    tifffile.imwrite(folder / "v.tif", np.moveaxis(RGB, 2, 0), photometric="rgb", planarconfig="separate")
    return folder / "v.tif"


def rgb_slices(folder: Path) -> Path:
    import tifffile

    tifffile.imwrite(folder / "z0.tif", RGB, photometric="rgb")
    return folder


def rgb_mha(folder: Path) -> Path:
    import SimpleITK

    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(RGB, isVector=True), str(folder / "v.mha"))
    return folder / "v.mha"


def rgb_zarr(folder: Path) -> Path:
    zarr.create_array(folder / "v.zarr", data=RGB)
    return folder / "v.zarr"


@pytest.mark.parametrize("write", [rgb_tiff, planar_rgb_tiff, rgb_slices, rgb_mha, rgb_zarr])
def test_an_rgb_image_needs_a_channel(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    path = write(tmp_path)
    with pytest.raises(UnsupportedSourceError, match=r"is an RGB image.*--channel: 0 red, 1 green, 2 blue"):
        open_volume(path)
    np.testing.assert_array_equal(read_all(path, channel=1), RGB[np.newaxis, ..., 1])
    with open_volume(path, channel=1) as volume:
        assert volume.channel_names == ("red", "green", "blue")


@pytest.mark.parametrize("kind", ["zarr v3", "tiff", "nifti", "hdf5"])
def test_complex_voxels(written: Write, image: np.ndarray, kind: str) -> None:
    with pytest.raises(UnsupportedSourceError, match="not gray values: complex64"):
        open_volume(written(kind, image.astype(np.complex64)))


def test_complex_voxels_of_itk(written: Write, image: np.ndarray) -> None:
    with pytest.raises(UnsupportedSourceError, match="several values per voxel"):
        open_volume(written("mha", image.astype(np.complex64)))


@pytest.mark.parametrize("kind", ["ome-zarr 0.5", "tiff", "nifti", "hdf5", "mha"])
def test_one_slice_is_a_volume(written: Write, image: np.ndarray, kind: str) -> None:
    np.testing.assert_array_equal(read_all(written(kind, image[:1])), image[:1])


@pytest.mark.parametrize("kind", ["ome-zarr 0.5", "tiff", "nifti", "hdf5"])
def test_nan_inf_and_constant_volumes_open_and_can_be_measured(written: Write, kind: str) -> None:
    volume = np.full((3, 20, 20), np.nan, np.float32)
    volume[1] = np.inf
    with open_volume(written(kind, volume)) as opened:
        assert measure_intensity_window(opened).constant


@pytest.mark.parametrize("size", [0.0, -1.0, float("nan")])
def test_a_broken_voxel_size_in_a_nifti_header(written: Write, image: np.ndarray, size: float) -> None:
    path = written("nifti", image)
    content = bytearray(path.read_bytes())
    content[80:84] = np.float32(size).tobytes()
    path.write_bytes(content)
    with pytest.raises(VoxelSizeError, match=r"metadata of .*v\.nii"):
        open_volume(path)
    np.testing.assert_array_equal(read_all(path, voxel_size_um=(1, 1, 1)), image)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [b"0 1 1", b"-1 1 1"])
def test_a_broken_voxel_size_in_an_mha_header(tmp_path: Path, image: np.ndarray, size: bytes) -> None:
    import SimpleITK

    path = tmp_path / "v.mha"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(image), str(path))
    path.write_bytes(path.read_bytes().replace(b"ElementSpacing = 1 1 1", b"ElementSpacing = " + size))
    with pytest.raises(VoxelSizeError, match=r"metadata of .*v\.mha"):
        open_volume(path)


@pytest.mark.parametrize("size", [0, -2, float("nan")])
def test_a_broken_voxel_size_in_ome_xml(tmp_path: Path, image: np.ndarray, size: float) -> None:
    import tifffile

    metadata = {"axes": "ZYX", "PhysicalSizeZ": size, "PhysicalSizeY": 1, "PhysicalSizeX": 1}
    tifffile.imwrite(tmp_path / "v.ome.tif", image, metadata=metadata)
    with pytest.raises(VoxelSizeError, match=r"metadata of .*v\.ome\.tif"):
        open_volume(tmp_path / "v.ome.tif")


def test_a_broken_voxel_size_in_imagej_metadata(tmp_path: Path, image: np.ndarray) -> None:
    import tifffile

    metadata = {"axes": "ZYX", "spacing": -3, "unit": "um"}
    tifffile.imwrite(tmp_path / "v.tif", image, imagej=True, resolution=(1, 1), metadata=metadata)
    with pytest.raises(VoxelSizeError, match=r"metadata of .*v\.tif"):
        open_volume(tmp_path / "v.tif")


def test_a_broken_voxel_size_in_hdf5(written: Write, image: np.ndarray) -> None:
    import h5py

    path = written("hdf5", image)
    with h5py.File(path, "r+") as file:
        file["raw/image"].attrs["element_size_um"] = (0, 1, 1)
    with pytest.raises(VoxelSizeError, match=r"metadata of .*v\.h5"):
        open_volume(path)


def test_a_zarr_of_1e15_voxels_opens_lazily(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "v.zarr", shape=(HUGE,) * 3, chunks=(64, 64, 64), dtype="u2")
    with open_volume(tmp_path / "v.zarr") as volume:
        assert volume.size == 10**15
        assert volume.missing_chunks() is None
        assert measure_intensity_window(volume).constant
        assert len(volume.signature()) == 32


def test_an_hdf5_of_1e15_voxels_opens_lazily(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "v.h5", "w") as file:
        file.create_dataset("v", shape=(HUGE,) * 3, dtype="u2", chunks=(64, 64, 64))
    with open_volume(tmp_path / "v.h5") as volume:
        assert not volume.read(Region((50_000,) * 3, (50_010,) * 3)).any()


@pytest.mark.parametrize("zipped", [False, True])
def test_a_nifti_header_that_claims_1e13_voxels(written: Write, image: np.ndarray, zipped: bool) -> None:
    path = written("nifti", image)
    content = bytearray(path.read_bytes())
    content[42:48] = np.array([32_000] * 3, "<i2").tobytes()
    path = path.with_suffix(".nii.gz") if zipped else path
    path.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(CorruptSourceError, match=r"truncated or its header is wrong.*65536000000352 bytes"):
        open_volume(path)


def test_a_tiff_header_that_claims_1e19_voxels(tmp_path: Path) -> None:
    import tifffile

    tifffile.imwrite(tmp_path / "v.tif", np.zeros((64, 64), np.uint16))
    content = bytearray((tmp_path / "v.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "v.tif") as tiff:
        offsets = [tiff.pages[0].tags[name].valueoffset for name in ("ImageWidth", "ImageLength")]
    for offset in offsets:
        content[offset : offset + 4] = np.uint32(4 * 10**9).tobytes()
    (tmp_path / "v.tif").write_bytes(content)
    with pytest.raises(VesselKDError, match=r"v\.tif"):
        open_volume(tmp_path / "v.tif")


def test_an_mha_header_that_claims_1e15_voxels(tmp_path: Path, image: np.ndarray) -> None:
    import SimpleITK

    path = tmp_path / "v.mha"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(image), str(path))
    path.write_bytes(path.read_bytes().replace(b"52 40 12", b"100000 100000 100000"))
    with pytest.raises(CorruptSourceError, match=r"more than 2000000000000000 by its header"):
        open_volume(path)


def test_an_hdf5_without_a_volume(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["curve"] = np.zeros(5)
        file["series"] = np.zeros((2, 3, 4, 5, 6))
    with pytest.raises(UnsupportedSourceError, match=r"no dataset that is a volume: /curve \(5,\), /series"):
        open_volume(tmp_path / "v.h5")
    with pytest.raises(UnsupportedSourceError, match="does not say which axes its dataset /series has"):
        open_volume(f"{tmp_path / 'v.h5'}:/series")


def test_every_message_says_what_and_where(tmp_path: Path) -> None:
    sources = [tmp_path / "no.tif", tmp_path, tmp_path / "v.xyz", tmp_path / "v.zarr"]
    (tmp_path / "v.xyz").write_text("x")
    (tmp_path / "v.zarr").mkdir()
    for source, other in itertools.combinations(sources, 2):
        with pytest.raises(VesselKDError) as one, open_volume(source):
            pass
        with pytest.raises(VesselKDError) as two, open_volume(other):
            pass
        assert str(source) in str(one.value)
        assert one.value.remedy
        assert str(one.value) != str(two.value)


MUTABLE = [
    "ome-zarr 0.5",
    "zarr v2",
    "tiff",
    "tiff in tiles",
    "ome-tiff",
    "tiff folder, compressed",
    "nifti",
    "nifti, gzipped",
    "hdf5",
]


@pytest.mark.parametrize("kind", MUTABLE)
def test_any_damage_is_either_harmless_or_one_of_our_errors(
    written: Write, image: np.ndarray, kind: str
) -> None:
    path = written(kind, image)
    files = sorted(file for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())
    rng = np.random.default_rng(0)
    for _ in range(25):
        file = files[int(rng.integers(len(files)))]
        before = file.read_bytes()
        damaged = bytearray(before)
        for _ in range(int(rng.integers(1, 8))):
            damaged[int(rng.integers(min(len(before), 600)))] = int(rng.integers(256))
        file.write_bytes(damaged)
        with contextlib.suppress(VesselKDError), open_volume(path) as volume:
            volume.read(Region((0, 0, 0), tuple(min(size, 20) for size in volume.shape)))  # type: ignore[arg-type]
        file.write_bytes(before)
    np.testing.assert_array_equal(read_all(path), image)

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path

import numpy as np
import pytest
import zarr

from napari_vesselkd.errors import InvalidInputError, OutputError, VoxelSizeError
from napari_vesselkd.geometry import Region
from napari_vesselkd.volume import create_multiscale, open_levels, open_volume, write_multiscale
from napari_vesselkd.volume.ome_zarr import default_chunk

VERSIONS = ["0.4", "0.5"]
SIZE_UM = (4.0, 1.0, 1.0)
IMAGE = np.random.default_rng(0).integers(0, 255, (20, 70, 90)).astype(np.uint8)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("label", [False, True])
def test_metadata_are_valid(tmp_path: Path, version: str, label: bool) -> None:
    write_multiscale(
        tmp_path / "v.ome.zarr", IMAGE, voxel_size_um=SIZE_UM, ome_version=version, label=label, levels=3
    )
    group = zarr.open_group(tmp_path / "v.ome.zarr", mode="r")
    if version == "0.4":
        from ome_zarr_models.v04 import Image, ImageLabel
    else:
        from ome_zarr_models.v05 import Image, ImageLabel  # type: ignore[assignment]
    model = (ImageLabel if label else Image).from_zarr(group)
    multiscale = (model.attributes.multiscales if version == "0.4" else model.attributes.ome.multiscales)[0]
    assert [axis.unit for axis in multiscale.axes] == ["micrometer"] * 3
    assert len(multiscale.datasets) == 3
    attributes = dict(group.attrs)
    assert ("image-label" in attributes.get("ome", attributes)) == label
    assert group.metadata.zarr_format == (3 if version == "0.5" else 2)


@pytest.mark.parametrize("version", VERSIONS)
def test_levels_lie_on_each_other_in_the_world(tmp_path: Path, version: str) -> None:
    write_multiscale(
        tmp_path / "v.ome.zarr",
        IMAGE,
        voxel_size_um=SIZE_UM,
        ome_version=version,
        levels=4,
        origin_um=(10, 20, 30),
    )
    with open_volume(tmp_path / "v.ome.zarr") as volume:
        assert volume.level_voxel_sizes_um == ((4, 1, 1), (4, 2, 2), (4, 4, 4), (8, 8, 8))
        corners = []
        for level in range(4):
            at = volume.at_level(level)
            corners.append([o - s / 2 for o, s in zip(at.origin_um, at.voxel_size_um, strict=True)])
    assert corners == [[8.0, 19.5, 29.5]] * 4
    ome = zarr.open_group(tmp_path / "v.ome.zarr", mode="r").attrs.asdict()
    datasets = ome.get("ome", ome)["multiscales"][0]["datasets"]
    assert datasets[3]["coordinateTransformations"][1]["translation"] == [12.0, 23.5, 33.5]


@pytest.mark.skipif(importlib.util.find_spec("napari_ome_zarr") is None, reason="needs napari-ome-zarr")
@pytest.mark.parametrize("version", VERSIONS)
def test_napari_ome_zarr_opens_it_with_the_right_size(tmp_path: Path, version: str) -> None:
    write_multiscale(
        tmp_path / "v.ome.zarr",
        IMAGE,
        voxel_size_um=SIZE_UM,
        ome_version=version,
        levels=2,
        chunk=(8, 32, 32),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own
        from napari_ome_zarr import napari_get_reader

        reader = napari_get_reader(str(tmp_path / "v.ome.zarr"))
        assert reader is not None
        (layer,) = reader(str(tmp_path / "v.ome.zarr"))
        data, options = layer[:2]
        np.testing.assert_array_equal(np.asarray(data[0]), IMAGE)
    assert [level.shape for level in data] == [(20, 70, 90), (20, 35, 45)]
    assert list(options["scale"]) == list(SIZE_UM)


def test_an_unknown_voxel_size_stays_unknown(tmp_path: Path) -> None:
    write_multiscale(tmp_path / "v.zarr", IMAGE, voxel_size_um=(1, 1, 1), voxel_size_known=False)
    with open_volume(tmp_path / "v.zarr") as volume:
        assert not volume.voxel_size_known
        assert volume.voxel_size_um == (1, 1, 1)


def test_a_new_image_is_empty_until_written(tmp_path: Path) -> None:
    arrays = create_multiscale(
        tmp_path / "v.ome.zarr", (500, 600, 700), "u2", voxel_size_um=(1, 1, 1), fill=7
    )
    assert [array.shape for array in arrays] == [(500, 600, 700), (250, 300, 350), (125, 150, 175)]
    arrays[0][10:20, 30:40, 50:60] = 9
    again = open_levels(tmp_path / "v.ome.zarr")
    assert again[0][10, 30, 50] == 9
    assert again[0][0, 0, 0] == again[1][0, 0, 0] == 7
    with open_volume(tmp_path / "v.ome.zarr") as volume:
        assert volume.missing_chunks() == volume_chunks(volume.shape, volume.chunks) - 1


def volume_chunks(shape: tuple[int, ...], chunk: tuple[int, ...]) -> int:
    return int(np.prod([-(-n // c) for n, c in zip(shape, chunk, strict=True)]))


def test_images_store_their_empty_chunks_and_labels_do_not(tmp_path: Path) -> None:
    empty = np.zeros((4, 8, 8), np.uint8)
    for label, missing in ((False, 0), (True, 4)):
        write_multiscale(
            tmp_path / f"{label}.zarr", empty, voxel_size_um=(1, 1, 1), label=label, chunk=(4, 4, 4)
        )
        with open_volume(tmp_path / f"{label}.zarr") as volume:
            assert volume.missing_chunks() == missing


@pytest.mark.parametrize(
    ("shape", "chunk"),
    [
        ((100, 100, 100), (64, 64, 64)),
        ((2000, 2000, 2000), (128, 128, 128)),
        ((10, 512, 512), (10, 128, 128)),
        ((1, 5000, 5000), (1, 512, 512)),
        ((3, 20, 30), (3, 20, 30)),
    ],
)
def test_chunks_suit_the_shape(shape: tuple[int, int, int], chunk: tuple[int, int, int]) -> None:
    assert default_chunk(shape) == chunk


def test_a_2d_image_becomes_one_slice(tmp_path: Path) -> None:
    write_multiscale(tmp_path / "v.zarr", IMAGE[0], voxel_size_um=(1, 1, 1))
    with open_volume(tmp_path / "v.zarr") as volume:
        np.testing.assert_array_equal(volume.read(Region.whole(volume.shape)), IMAGE[:1])


def test_an_output_that_exists_is_replaced_only_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "v.zarr"
    write_multiscale(path, IMAGE, voxel_size_um=SIZE_UM)
    with pytest.raises(OutputError, match="exists already"):
        write_multiscale(path, IMAGE + 1, voxel_size_um=SIZE_UM)
    with pytest.raises(OutputError, match="exists already"):
        create_multiscale(path, IMAGE.shape, "u1", voxel_size_um=SIZE_UM)
    write_multiscale(path, IMAGE + 1, voxel_size_um=SIZE_UM, overwrite=True)
    with open_volume(path) as volume:
        np.testing.assert_array_equal(volume.read(Region.whole(volume.shape)), IMAGE + 1)
    assert [entry.name for entry in tmp_path.iterdir()] == ["v.zarr"]


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"0\.5 or 0\.4"):
        write_multiscale(tmp_path / "a.zarr", IMAGE, voxel_size_um=SIZE_UM, ome_version="0.6")
    with pytest.raises(VoxelSizeError):
        write_multiscale(tmp_path / "a.zarr", IMAGE, voxel_size_um=(0, 1, 1))
    with pytest.raises(InvalidInputError, match="Not a volume"):
        write_multiscale(tmp_path / "a.zarr", np.zeros((2, 2, 2, 2)), voxel_size_um=SIZE_UM)
    with pytest.raises(OutputError, match="unknown ending"):
        write_multiscale(tmp_path / "a.tif", IMAGE, voxel_size_um=SIZE_UM)
    assert list(tmp_path.iterdir()) == []

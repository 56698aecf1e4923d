from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_vesselkd.errors import CorruptSourceError, InvalidInputError
from napari_vesselkd.geometry import Region
from napari_vesselkd.volume import open_volume, volume_from_arrays, write_multiscale


@pytest.fixture
def counted_reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list of chunk files that are read from now on."""
    from zarr.storage import LocalStore

    reads: list[str] = []
    get = LocalStore.get

    async def counted(self: Any, key: str, *args: Any, **kwargs: Any) -> Any:
        name = key.rsplit("/", 1)[-1]
        if name != "zarr.json" and not name.startswith("."):
            reads.append(key)
        return await get(self, key, *args, **kwargs)

    monkeypatch.setattr(LocalStore, "get", counted)
    return reads


@pytest.mark.parametrize(
    ("region", "chunks"),
    [
        (Region((0, 0, 0), (8, 16, 16)), 1),
        (Region((7, 15, 15), (9, 17, 17)), 8),
        (Region((0, 0, 0), (8, 16, 50)), 4),
        (Region((5, 5, 5), (6, 6, 6)), 1),
    ],
)
def test_a_region_reads_exactly_the_chunks_it_touches_once(
    tmp_path: Path, image: np.ndarray, counted_reads: list[str], region: Region, chunks: int
) -> None:
    write_multiscale(tmp_path / "v.zarr", image, voxel_size_um=(1, 1, 1), chunk=(8, 16, 16), levels=1)
    with open_volume(tmp_path / "v.zarr") as volume:
        counted_reads.clear()
        volume.read(region)
    assert len(counted_reads) == len(set(counted_reads)) == chunks


def test_opening_reads_no_chunk(tmp_path: Path, image: np.ndarray, counted_reads: list[str]) -> None:
    write_multiscale(tmp_path / "v.zarr", image, voxel_size_um=(1, 1, 1), chunk=(8, 16, 16))
    counted_reads.clear()
    with open_volume(tmp_path / "v.zarr") as volume:
        volume.missing_chunks()
    assert counted_reads == []


def test_a_tiff_region_reads_only_the_planes_it_touches(
    written: Callable[..., Path], image: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_volume(written("tiff in compressed strips", image)) as volume:
        store = type(volume.levels[0].store)  # type: ignore[attr-defined]
        reads: list[str] = []
        get = store.get

        async def counted(self: Any, key: str, *args: Any, **kwargs: Any) -> Any:
            reads.append(key)
            return await get(self, key, *args, **kwargs)

        monkeypatch.setattr(store, "get", counted)
        volume.read(Region((3, 0, 0), (5, 10, 10)))
    assert len(reads) == len(set(reads)) == 2


def test_all_formats_can_be_read_by_several_threads(source: Any) -> None:
    wrong: list[int] = []
    with open_volume(source.path) as volume:

        def read(seed: int) -> None:
            rng = np.random.default_rng(seed)
            for _ in range(8):
                start = [int(rng.integers(0, n - 3)) for n in volume.shape]
                region = Region(tuple(start), tuple(s + 3 for s in start))  # type: ignore[arg-type]
                if not np.array_equal(volume.read(region), source.data[region.slices]):
                    wrong.append(seed)

        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_a_coarser_level_is_a_volume_of_its_own(tmp_path: Path, image: np.ndarray) -> None:
    write_multiscale(tmp_path / "v.zarr", image, voxel_size_um=(1, 1, 1), levels=3, chunk=(4, 8, 8))
    with open_volume(tmp_path / "v.zarr") as volume:
        coarse = volume.at_level(1)
        assert coarse.shape == (6, 20, 26)
        assert coarse.voxel_size_um == (2, 2, 2)
        assert coarse.origin_um == (0.5, 0.5, 0.5)
        assert len(coarse.levels) == 2
        np.testing.assert_array_equal(
            coarse.read(Region.whole(coarse.shape)), volume.read(Region.whole(coarse.shape), level=1)
        )
        (tmp_path / "v.zarr" / "1" / "c" / "0" / "0" / "0").unlink()
        assert coarse.missing_chunks() == 1
        assert volume.missing_chunks() == 0
        with pytest.raises(InvalidInputError, match=r"no such level: 2 \(allowed: 0\.\.1\)"):
            coarse.at_level(2)
    with open_volume(tmp_path / "v.zarr", level=1) as opened:
        assert opened.shape == coarse.shape
    with open_volume(tmp_path / "v.zarr", level=1, voxel_size_um=(3, 3, 3)) as opened:
        assert opened.voxel_size_um == (6, 6, 6)


def test_missing_chunks_are_zeros_and_are_counted(tmp_path: Path, image: np.ndarray) -> None:
    write_multiscale(tmp_path / "v.zarr", image, voxel_size_um=(1, 1, 1), chunk=(4, 8, 8), levels=1)
    for chunk in ("0/0/0", "2/4/6"):
        (tmp_path / "v.zarr" / "0" / "c" / chunk).unlink()
    with open_volume(tmp_path / "v.zarr") as volume:
        assert volume.missing_chunks() == 2
        assert not volume.read(Region((0, 0, 0), (4, 8, 8))).any()


def test_missing_chunks_of_other_channels_do_not_count(tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "v.zarr", shape=(2, 4, 8, 8), chunks=(1, 2, 8, 8), dtype="u1")
    array[0] = 1
    with (
        open_volume(tmp_path / "v.zarr", channel=0) as first,
        open_volume(tmp_path / "v.zarr", channel=1) as last,
    ):
        assert (first.missing_chunks(), last.missing_chunks()) == (0, 2)


def test_chunks_are_not_counted_where_they_are_too_many_or_none(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "v.zarr", shape=(10**5,) * 3, chunks=(64, 64, 64), dtype="u1")
    with open_volume(tmp_path / "v.zarr") as volume:
        assert volume.missing_chunks() is None
    assert volume_from_arrays([np.zeros((2, 2, 2))], voxel_size_um=None).missing_chunks() is None


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("damage", [b"rubbish" * 30, b"", None], ids=["rubbish", "emptied", "truncated"])
def test_a_damaged_chunk_is_named(
    tmp_path: Path, image: np.ndarray, version: str, damage: bytes | None
) -> None:
    write_multiscale(
        tmp_path / "v.zarr", image, voxel_size_um=(1, 1, 1), chunk=(4, 8, 8), ome_version=version, levels=1
    )
    chunk = tmp_path / "v.zarr" / "0" / ("c/1/2/3" if version == "0.5" else "1/2/3")
    chunk.write_bytes(chunk.read_bytes()[:-9] if damage is None else damage)
    with open_volume(tmp_path / "v.zarr") as volume:
        with pytest.raises(CorruptSourceError, match=r"v\.zarr is damaged at level 0, .*chunk \(1, 2, 3\)"):
            volume.read(Region.whole(volume.shape))
        np.testing.assert_array_equal(volume.read(Region((0, 0, 0), (4, 40, 52))), image[:4])


def test_a_signature_changes_with_voxels_shape_type_and_size(image: np.ndarray) -> None:
    changed = image.copy()
    changed[5, 20, 30] += 1
    arrays = [image, changed, image[:-1], image.astype(np.int32)]
    signatures = {volume_from_arrays([array], voxel_size_um=(1, 1, 1)).signature() for array in arrays}
    signatures.add(volume_from_arrays([image], voxel_size_um=(1, 1, 2)).signature())
    assert len(signatures) == 5


def test_a_moved_file_keeps_its_signature(written: Callable[..., Path], image: np.ndarray) -> None:
    path = written("tiff", image)
    with open_volume(path) as volume:
        before = volume.signature()
    path.rename(path.with_name("other.tif"))
    with open_volume(path.with_name("other.tif")) as volume:
        assert volume.signature() == before

"""From a code to its places and their pictures on a volume of 400 GB. Promise: the first twelve within 1 s.

A code map of 192 x 192 x 192 cells (32 voxels each: 232 billion voxels, 464 GB of uint16) is made up, with
codes of very different frequency, and an OME-Zarr of which only the chunks around the places exist. Compared
with looking at every cell (numpy, chunk by chunk) in the same run. Chunks are counted; times are CPU seconds,
first the one time that the index is made, then what every further click costs.

    python benchmarks/bench_gallery.py [--cells 192] [--codes 256] [--clicks 20]
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import zarr
from zarr.storage import LocalStore

from napari_vesselkd.geometry import Region
from napari_vesselkd.patterns.places import find_places
from napari_vesselkd.patterns.thumbnails import thumbnail
from napari_vesselkd.volume import IntensityWindow, volume_from_arrays

STRIDE, CHUNK, PICTURES = 32, 64, 12


class Counted(LocalStore):
    """A store that counts the chunks that are read."""

    reads = 0

    async def get(self, key, prototype, byte_range=None):
        Counted.reads += "zarr.json" not in key
        return await super().get(key, prototype, byte_range)


class MadeUp:
    """A code map with a few common and many rare codes."""

    checkpoint, sha256, signature, id, revision = "made up", "0" * 64, "none", "one", 1
    voxel_size_um, stride = (1.0, 1.0, 1.0), (STRIDE,) * 3

    def __init__(self, path, cells, codes):
        self.path, self.code_count, self.shape = path, codes, (cells,) * 3
        self.volume_shape = (cells * STRIDE,) * 3
        group = zarr.open_group(Counted(path / "map"), mode="w")
        self.codes = group.create_array("codes", shape=self.shape, chunks=(32,) * 3, dtype="uint16")
        self.distance = group.create_array("distance", shape=self.shape, chunks=(32,) * 3, dtype="float16")
        rng = np.random.default_rng(0)
        share = np.cumsum(1 / np.arange(1, codes + 1))
        for piece in Region.whole(self.shape).pieces((32, *self.shape[1:])):
            drawn = np.searchsorted(share / share[-1], rng.random(piece.shape))
            self.codes[piece.slices] = (drawn.clip(0, codes - 1) + 1).astype(np.uint16)
            self.distance[piece.slices] = rng.gamma(4, 0.1, piece.shape)

    def read(self, cells):
        return np.asarray(self.codes[cells.slices])

    def read_distance(self, cells):
        return np.asarray(self.distance[cells.slices], np.float32)


def every_cell(code_map, code, count):
    """Return the smallest distances of a code by reading the whole map."""
    found = np.zeros(0, np.float32)
    for piece in Region.whole(code_map.shape).pieces((32, *code_map.shape[1:])):
        there = code_map.read(piece) == code + 1
        found = np.sort(np.append(found, code_map.read_distance(piece)[there]))[:count]
    return found


def timed(task):
    """Return CPU seconds, chunks read, and what the task gives."""
    before, started = Counted.reads, time.process_time()
    result = task()
    return time.process_time() - started, Counted.reads - before, result


def image_around(path, code_map, places):
    """Return an image of the whole volume that exists around some places only."""
    group = zarr.open_group(Counted(path / "image"), mode="w")
    shape = code_map.volume_shape
    array = group.create_array("0", shape=shape, chunks=(CHUNK,) * 3, dtype="uint16")
    rng = np.random.default_rng(0)
    for place in places:
        start = [max(0, (int(at) // CHUNK - 1) * CHUNK) for at in place.centre]
        box = Region(
            tuple(start), tuple(min(low + 3 * CHUNK, n) for low, n in zip(start, shape, strict=True))
        )
        array[box.slices] = rng.integers(0, 4096, box.shape, dtype=np.uint16)
    return volume_from_arrays([array], voxel_size_um=(1, 1, 1))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=192)
    parser.add_argument("--codes", type=int, default=256)
    parser.add_argument("--clicks", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        code_map = MadeUp(path, options.cells, options.codes)
        made = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        naive, naive_chunks, distances = timed(lambda: every_cell(code_map, 3, 60))
        first, first_chunks, found = timed(lambda: [*find_places(code_map, [3])][-1].places)
        assert [one.distance for one in found] == distances.tolist()
        print(f"{options.cells**3 / 1e6:.1f} million cells, {options.codes} codes")
        print(f"every cell          {naive:8.3f} s {naive_chunks:6} chunks")
        print(f"first time (index)  {first:8.3f} s {first_chunks:6} chunks, x{first / naive:.2f}")
        codes = np.random.default_rng(1).integers(0, options.codes, options.clicks).tolist()
        clicks = [timed(lambda code=code: [*find_places(code_map, [code])]) for code in codes]
        seconds = sorted(one[0] for one in clicks)
        median, slow = seconds[len(seconds) // 2], seconds[-1]
        print(f"a further click     {median:8.3f} s {clicks[0][1]:6} chunks, x{median / naive:.4f}", end="")
        print(f" (slowest of {len(seconds)}: {slow:.3f} s)")
        volume = image_around(path, code_map, found[:PICTURES])
        window = IntensityWindow(0, 4096)
        cost, chunks, _ = timed(
            lambda: [thumbnail(volume, code_map, one.cell, 96, window=window) for one in found[:PICTURES]]
        )
        print(f"{PICTURES} pictures of 96^3  {cost:8.3f} s {chunks:6} chunks")
        print(f"click to pictures   {median + cost:8.3f} s (promise: 1 s)")
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - made
        print(f"memory beyond that of the empty process and the libraries: {grown / 1024:.0f} MB")


if __name__ == "__main__":
    main()

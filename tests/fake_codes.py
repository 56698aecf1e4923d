"""A code map made by hand: real zarr arrays, and a count of the chunks that were read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import zarr
from zarr.storage import LocalStore

from napari_vesselkd.geometry import Region, as_shape


class CountedStore(LocalStore):
    """A store that notes the keys of the chunks that are read."""

    def __init__(self, root, **options):
        super().__init__(root, **options)
        self.chunks: list[str] = []

    async def get(self, key, prototype, byte_range=None):
        if "/c/" in key or key.startswith("c/"):
            self.chunks.append(key)
        return await super().get(key, prototype, byte_range)


class FakeCodes:
    """A code map of given codes.

    Parameters
    ----------
    path : folder to write it to
    codes : (z, y, x) ints, -1 where nothing is computed
    distance : (z, y, x) floats, zeros if not given
    """

    def __init__(
        self,
        path,
        codes,
        distance=None,
        *,
        code_count=None,
        stride=(4, 4, 4),
        volume_shape=None,
        voxel_size_um=(1.0, 1.0, 1.0),
        chunks=(4, 4, 4),
        sha256="0" * 64,
        signature="one",
        id="first",
    ):
        codes = np.asarray(codes)
        self.path = Path(path)
        self.shape = as_shape(codes.shape)
        self.stride = as_shape(stride)
        whole = [n * s for n, s in zip(self.shape, stride, strict=True)]
        self.volume_shape = as_shape(whole if volume_shape is None else volume_shape)
        self.voxel_size_um = voxel_size_um
        self.code_count = int(codes.max()) + 1 if code_count is None else code_count
        self.checkpoint, self.sha256, self.signature, self.id = "teacher", sha256, signature, id
        self.revision = 0
        self.store = CountedStore(self.path / "arrays")
        group = zarr.open_group(self.store, mode="w")
        self.codes = group.create_array("codes", shape=self.shape, chunks=chunks, dtype="uint16")
        self.distance = group.create_array("distance", shape=self.shape, chunks=chunks, dtype="float16")
        self.write(Region.whole(self.shape), codes, distance)

    def write(self, region, codes, distance=None):
        """Write more codes, as a run that goes on does."""
        codes = np.asarray(codes)
        self.codes[region.slices] = (codes + 1).astype(np.uint16)
        self.distance[region.slices] = np.zeros(codes.shape) if distance is None else distance
        self.revision += 1
        self.store.chunks.clear()

    def read(self, cells):
        return np.asarray(self.codes[cells.slices])

    def read_distance(self, cells):
        return np.asarray(self.distance[cells.slices], np.float32)

    @property
    def chunks_read(self) -> int:
        return len(self.store.chunks)

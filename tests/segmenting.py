"""What tests of labels and segmentation share."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from napari_vesselkd.geometry import Region
from napari_vesselkd.labels import LabelStore
from napari_vesselkd.volume import volume_from_arrays


def structured(shape, seed=0):
    """Return smooth random uint16 voxels (z, y, x)."""
    smooth = gaussian_filter(np.random.default_rng(seed).random(shape), 1.5, mode="wrap")
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return (smooth * 1000).astype(np.uint16)


def in_memory(array, **options):
    """Return a volume of an array."""
    return volume_from_arrays([array], voxel_size_um=(2.0, 1.0, 1.0), name="test", **options)


def labels_of(path, level=0):
    """Return all labels of a store."""
    store = LabelStore.open(path)
    return store.read(Region.whole(store.levels[level].shape), level)

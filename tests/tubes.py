"""Tubes for tests: masks and pictures of straight vessels, made from the distance of each voxel to a line."""

from __future__ import annotations

import numpy as np


def tube_mask(shape, start, stop, radius_um, size=(1.0, 1.0, 1.0)):
    """Return where a voxel's centre is within `radius_um` of the line from `start` to `stop` (voxels)."""
    places = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1) * np.asarray(size)
    a, b = (np.asarray(point) * np.asarray(size) for point in (start, stop))
    along = np.clip(((places - a) @ (b - a)) / max(float((b - a) @ (b - a)), 1e-9), 0, 1)
    return np.linalg.norm(places - (a + along[..., None] * (b - a)), axis=-1) <= radius_um


def picture(mask, *, noise=5.0, seed=0):
    """Return a picture in which vessels are 100 on a background of 20, with noise."""
    return (20 + 80 * mask + np.random.default_rng(seed).normal(size=mask.shape) * noise).astype(np.float32)


class Counting:
    """A source that counts the voxels read from it."""

    def __init__(self, array):
        self.array, self.shape, self.voxels = array, array.shape, 0

    def __getitem__(self, index):
        part = self.array[index]
        self.voxels += part.size
        return part

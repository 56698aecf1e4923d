"""Everything that shines and is no vessel: tissue, cells, debris, plaques, organs, bone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_vesselkd.geometry import Shape, VoxelSize
from napari_vesselkd.phantoms.appearance import Appearance
from napari_vesselkd.phantoms.blur import smooth_noise

F32 = npt.NDArray[np.float32]


def tissue_light(shape: Shape, size: VoxelSize, look: Appearance, rng: np.random.Generator) -> F32:
    """Return the light of the tissue, (z, y, x) float32, already as blurred as the optics make it."""
    pixel = size[2] / np.asarray(size)
    field = 1 + look.slow * smooth_noise(shape, 70 * pixel, rng)
    for amplitude, voxels in ((look.fine, 2.0), (look.middle, 6.0), (look.coarse, 20.0)):
        if amplitude:
            field += amplitude * smooth_noise(shape, voxels * pixel, rng)
    if look.organs:
        field += look.organs * _bodies(shape, 45 * pixel, 0.3, rng)
        field += 0.5 * look.organs * _bodies(shape, 25 * pixel, 0.8, rng)
    light = look.level * np.maximum(field, 0.02)
    if look.bones:
        bone = _bodies(shape, 30 * pixel, 1.3, rng)
        light += look.bones * bone * np.clip(1 + 0.3 * smooth_noise(shape, 2 * pixel, rng), 0.2, 2)
    million = float(np.prod(shape)) * 1e-6
    x = size[2]
    if look.cells:
        light_of_cell = look.cell_light * look.level
        add_blobs(
            light,
            round(look.cells * million),
            sigma_um=(2 * x, 6 * x),
            light=light_of_cell,
            size=size,
            rng=rng,
        )
        np.maximum(light, 0.02 * look.level, out=light)
    if look.debris:
        add_blobs(
            light,
            round(look.debris * million),
            sigma_um=(0.4 * x, 1.8 * x),
            light=look.debris_light,
            size=size,
            rng=rng,
        )
    if look.patches:
        add_blobs(
            light, round(look.patches), sigma_um=(6 * x, 22 * x), light=look.patch_light, size=size, rng=rng
        )
    return np.asarray(light, np.float32)


def _bodies(shape: Shape, cells: npt.NDArray[np.float64], threshold: float, rng: np.random.Generator) -> F32:
    """Return 0..1: large smooth bodies with edges one to two voxels wide."""
    noise = smooth_noise(shape, cells, rng) + 0.3 * smooth_noise(shape, cells / 3, rng)
    sharpness = np.float32(0.35 * float(cells[2]))
    return np.asarray(np.clip((noise - threshold) * sharpness + 0.5, 0, 1), np.float32)


def inside_tissue(shape: Shape, size: VoxelSize, rng: np.random.Generator) -> F32:
    """Return 1 inside the tissue and 0 beyond a wavy border that crosses the volume."""
    extent = np.asarray(shape) * np.asarray(size)
    normal = rng.normal(size=3)
    normal /= np.linalg.norm(normal)
    z, y, x = (
        np.arange(n, dtype=np.float32) * s - e / 2 for n, s, e in zip(shape, size, extent, strict=True)
    )
    height = normal[0] * z[:, None, None] + normal[1] * y[:, None] + normal[2] * x
    height = height + 0.05 * extent[2] * smooth_noise(shape, np.asarray(shape) / 4, rng)
    border = float(np.quantile(height[::2, ::4, ::4], rng.uniform(0.05, 0.35)))
    return np.asarray(np.clip((height - border) / (2 * size[2]), 0, 1), np.float32)


def add_blobs(
    image: F32,
    count: int,
    *,
    sigma_um: tuple[float, float],
    light: float,
    size: VoxelSize,
    rng: np.random.Generator,
) -> None:
    """Add `count` Gaussian blobs in place, of random width in `sigma_um` and brightness round `light`."""
    step = np.asarray(size)
    for _ in range(count):
        width = rng.uniform(*sigma_um) * rng.uniform(0.7, 1.4, size=3) + 0.4 * step
        centre = rng.uniform(0, 1, size=3) * np.asarray(image.shape)
        low = np.maximum(0, np.ceil(centre - 3 * width / step)).astype(int)
        high = np.minimum(image.shape, np.floor(centre + 3 * width / step).astype(int) + 1)
        strength = light * float(np.exp(rng.normal(0, 0.6)))
        if np.any(high <= low):
            continue
        z, y, x = (
            np.exp(-0.5 * ((np.arange(a, b) - c) * s / w) ** 2).astype(np.float32)
            for a, b, c, s, w in zip(low, high, centre, step, width, strict=True)
        )
        image[low[0] : high[0], low[1] : high[1], low[2] : high[2]] += (
            np.float32(strength) * z[:, None, None] * y[:, None] * x
        )

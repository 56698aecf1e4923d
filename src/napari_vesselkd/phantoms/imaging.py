"""From tubes to a microscope's picture: emission, point spread, background, artefacts, noise, quantisation.

Brightness is relative: an average large vessel emits 1 before the point spread function. Everything random
comes from the generator that is passed in. Appearance is drawn much more widely than any one microscope
varies (domain randomisation, as in vesselFM, arXiv 2411.17386).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_vesselkd.geometry import Shape, VoxelSize
from napari_vesselkd.phantoms.raster import Segments, signed_distance

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Optics:
    """Point spread function and sampling.

    Attributes
    ----------
    psf_um : tuple of float
        Standard deviations (z, y, x) of the Gaussian point spread function, in um.
    tail : float
        Share of light in a second Gaussian, `tail_factor` times as wide.
    """

    psf_um: VoxelSize
    tail: float
    tail_factor: float


def draw_optics(modality: str, voxel_size_um: VoxelSize, rng: np.random.Generator) -> Optics:
    """Return a random point spread function that suits the sampling."""
    z, _, x = voxel_size_um
    sharp, axial, tail, factor = rng.uniform(size=4)
    lateral = x * (0.45 + 1.0 * sharp)
    if modality == "two_photon":
        depth = max(lateral * (1.5 + 2.5 * axial), 0.35 * z)
    elif modality == "light_sheet":
        depth = max(lateral * (1.0 + 2.0 * axial), 0.35 * z)
    else:
        depth = max(lateral * (0.8 + 0.4 * axial), 0.3 * z)
    return Optics((depth, lateral, lateral), 0.45 * tail * tail, 2.0 + 2.5 * factor)


def smooth_noise(shape: Shape, cells: tuple[float, float, float], rng: np.random.Generator) -> F32:
    """Return smooth noise of unit variance (about): values on a grid of `cells` voxels, interpolated."""
    coarse = [max(2, round(n / c) + 1) for n, c in zip(shape, cells, strict=True)]
    values = rng.standard_normal(coarse, dtype=np.float32)
    for axis, n in enumerate(shape):
        at = np.linspace(0, coarse[axis] - 1, n)
        low = np.minimum(at.astype(int), coarse[axis] - 2)
        weight = (at - low).astype(np.float32)
        weight = weight * weight * (3 - 2 * weight)
        weight = weight.reshape([-1 if a == axis else 1 for a in range(3)])
        first, second = np.take(values, low, axis), np.take(values, low + 1, axis)
        values = first + (second - first) * weight
    return values


def emission(
    segments: Segments,
    distance: F32,
    owner: npt.NDArray[np.int32],
    size: VoxelSize,
    modality: str,
    rng: np.random.Generator,
) -> F32:
    """Return the light emitted per voxel, (z, y, x) float32, before the point spread function."""
    edges = int(segments.edge.max()) + 1 if len(segments) else 1
    spread, waves, gaps, hollow, wall = rng.uniform(size=5)
    bright = np.exp(rng.normal(0, 0.45 * spread, size=edges))[segments.edge]
    position = rng.uniform(0, 40) + 0.35 * np.arange(len(segments))
    bright *= 1 + 0.35 * waves * np.sin(position + 2 * np.sin(0.37 * position))
    if modality == "two_photon" and gaps < 0.5:
        thin = segments.radius_start < 5.0
        dark = ndimage.uniform_filter1d((rng.uniform(size=len(segments)) < 0.4).astype(float), 2) > 0.4
        bright *= np.where(thin & dark, rng.uniform(0.25, 0.8), 1.0)
    voxel = float(np.mean(size))
    filled = np.clip(0.5 - distance / voxel, 0, 1)
    if hollow < {"two_photon": 0.08, "light_sheet": 0.45, "angiography": 0.03}[modality]:
        thickness = np.maximum(voxel, (0.8 + 2.5 * wall) * size[2])
        inner = np.clip(0.5 - (distance + thickness) / voxel, 0, 1)
        filled = filled - (0.6 + 0.4 * wall) * inner
    return np.asarray(filled * np.append(bright, 0.0).astype(np.float32)[owner])


def add_blobs(
    image: F32,
    count: int,
    sigma: tuple[float, float],
    amplitude: tuple[float, float],
    size: VoxelSize,
    rng: np.random.Generator,
) -> None:
    """Add Gaussian blobs in place; `sigma` in um (low, high), `amplitude` (low, high)."""
    step = np.asarray(size)
    for _ in range(count):
        width = rng.uniform(*sigma) * rng.uniform(0.7, 1.4, size=3) + 0.4 * step
        centre = rng.uniform(0, 1, size=3) * np.asarray(image.shape)
        low = np.maximum(0, np.ceil(centre - 3 * width / step)).astype(int)
        high = np.minimum(image.shape, np.floor(centre + 3 * width / step).astype(int) + 1)
        if np.any(high <= low):
            continue
        z, y, x = (
            np.exp(-0.5 * ((np.arange(a, b) - c) * s / w) ** 2).astype(np.float32)
            for a, b, c, s, w in zip(low, high, centre, step, width, strict=True)
        )
        place = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        image[place] += np.float32(rng.uniform(*amplitude)) * z[:, None, None] * y[:, None] * x


def picture(
    segments: Segments, shape: Shape, size: VoxelSize, modality: str, optics: Optics, rng: np.random.Generator
) -> npt.NDArray[np.uint16]:
    """Return the imaged volume, (z, y, x) uint16."""
    fine = int(np.clip(np.ceil(size[0] / (1.4 * optics.psf_um[0])), 1, 3))
    fine_shape = (shape[0] * fine, shape[1], shape[2])
    fine_size = (size[0] / fine, size[1], size[2])
    distance, owner = signed_distance(segments, fine_shape, fine_size, reach_um=1.5 * max(fine_size))
    light = emission(segments, distance, owner, fine_size, modality, rng)
    streak = rng.uniform(0, 0.35)
    grain = ndimage.gaussian_filter1d(rng.standard_normal(fine_shape, dtype=np.float32), 3.0, axis=2) * 3.2
    light *= np.clip(1 + streak * grain, 0.2, 3)
    sigma = [p / s for p, s in zip(optics.psf_um, fine_size, strict=True)]
    narrow = ndimage.gaussian_filter(light, sigma, truncate=3)[::fine]
    broad_size = [optics.tail_factor * p / s for p, s in zip(optics.psf_um, size, strict=True)]
    broad = ndimage.gaussian_filter(narrow, broad_size, truncate=2.5)
    depth = np.linspace(0, 1, shape[0], dtype=np.float32)[:, None, None]
    if rng.uniform() < 0.3:
        depth = depth[::-1]
    weight = np.clip(optics.tail * (0.5 + depth * rng.uniform(0, 1.5)), 0, 0.8)
    image = (1 - weight) * narrow + weight * broad
    if rng.uniform() < 0.2:
        image += rng.uniform(0.1, 0.6) * ndimage.gaussian_filter(
            broad, [8.0 * size[2] / s for s in size], truncate=2.5
        )
    image += background(shape, size, modality, rng)
    image *= np.exp(-rng.uniform(0, 1.6) * depth * (rng.uniform() < 0.6))
    image *= np.exp(rng.uniform(0, 0.35) * smooth_noise(shape, (shape[0], shape[1] / 2, shape[2] / 2), rng))
    if modality == "light_sheet" and rng.uniform() < 0.5:
        image *= 1 + rng.uniform(0, 0.15) * smooth_noise(shape, (shape[0] / 3, 1.5, shape[2]), rng)
    return expose(image, rng)


def background(shape: Shape, size: VoxelSize, modality: str, rng: np.random.Generator) -> F32:
    """Return tissue light: level, slow field, texture at several scales, cells and debris."""
    level = float(
        {"two_photon": 0.25, "light_sheet": 0.45, "angiography": 0.6}[modality] * rng.uniform() ** 1.5
    )
    field = 1 + rng.uniform(0, 0.4) * smooth_noise(shape, (shape[0] / 2, shape[1] / 2.5, shape[2] / 2.5), rng)
    for um in (3.0, 8.0, 25.0):
        cells = tuple(max(1.0, um * size[2] / s) for s in size)
        field = field + rng.uniform(0, 0.25) * smooth_noise(shape, (cells[0], cells[1], cells[2]), rng)
    tissue = np.asarray(level * np.clip(field, 0.1, None), np.float32)
    volume = float(np.prod(shape)) * 1e-6
    dots = rng.uniform(size=4)
    if dots[0] < 0.4:
        add_blobs(
            tissue, int(rng.uniform(0, 150) * volume), (0.5 * size[2], 2.0 * size[2]), (0.2, 1.2), size, rng
        )
    if dots[1] < 0.3:
        add_blobs(
            tissue,
            int(rng.uniform(0, 120) * volume),
            (2.5 * size[2], 6.0 * size[2]),
            (-0.6 * level, 0.5 * level),
            size,
            rng,
        )
    if dots[2] < 0.2:
        add_blobs(tissue, int(rng.uniform(1, 12)), (6 * size[2], 20 * size[2]), (0.05, 0.6), size, rng)
    return np.asarray(np.maximum(tissue, 0))


def expose(image: F32, rng: np.random.Generator) -> npt.NDArray[np.uint16]:
    """Return the image as the detector stores it: noise, offset, gamma, clipping, 8, 12 or 16 bits."""
    top = float(np.percentile(image[::2, ::2, ::2], 99.5)) + 1e-6
    image = np.maximum(image / top, 0)
    photons = float(np.exp(rng.uniform(np.log(12), np.log(800))))
    image = rng.poisson(image * photons).astype(np.float32) / np.float32(photons)
    image += np.float32(rng.uniform(0, 0.03)) * rng.standard_normal(image.shape, dtype=np.float32)
    if rng.uniform() < 0.4:
        soft = float(rng.uniform(0.4, 0.8))
        image = ndimage.gaussian_filter(image, (0, soft, soft))
    elif rng.uniform() < 0.2:
        image = ndimage.median_filter(image, (1, 3, 3))
    image = np.maximum(image, 0) ** np.float32(np.exp(rng.uniform(-0.35, 0.25)))
    full = float(rng.choice([255, 4095, 65535], p=[0.5, 0.25, 0.25]))
    gain = full * float(rng.uniform(0.35, 1.5) if full < 65535 else rng.uniform(0.02, 0.5))
    offset = full * float(rng.uniform(0, 0.05))
    return np.clip(np.rint(image * gain + offset), 0, full).astype(np.uint16)

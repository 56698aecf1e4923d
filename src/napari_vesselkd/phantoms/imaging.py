"""From tubes to a microscope's picture: emission, point spread, tissue, artefacts, detector."""

from __future__ import annotations

import networkx as nx
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_vesselkd.geometry import Shape, VoxelSize
from napari_vesselkd.phantoms.appearance import Appearance
from napari_vesselkd.phantoms.blur import smooth_noise, wide_blur
from napari_vesselkd.phantoms.detector import detect
from napari_vesselkd.phantoms.emission import emitted_light, segment_brightness
from napari_vesselkd.phantoms.raster import Segments, signed_distance
from napari_vesselkd.phantoms.tissue import inside_tissue, tissue_light

F32 = npt.NDArray[np.float32]


def picture(
    graph: nx.Graph,
    segments: Segments,
    *,
    shape: Shape,
    size: VoxelSize,
    look: Appearance,
    rng: np.random.Generator,
) -> npt.NDArray[np.uint16]:
    """Return the imaged volume, (z, y, x) uint16."""
    light, inside = vessel_light(graph, segments, shape=shape, size=size, look=look, rng=rng)
    tissue = tissue_light(shape, size, look, rng)
    light = tissue + light * _boost(light, inside, tissue, look)
    if look.margin:
        light *= np.maximum(inside_tissue(shape, size, rng), 0.02)
    return detect(light_path(light, look, rng), look, rng)


def _boost(light: F32, inside: npt.NDArray[np.bool_], tissue: F32, look: Appearance) -> np.float32:
    """Return the factor (at least 1) that gives the dimmer vessels the contrast `look.clarity`."""
    if not inside.any():
        return np.float32(1)
    dimmer = float(np.percentile(light[inside], 30))
    grain = look.level / look.photons + look.read_noise**2 + look.level * look.line_noise**2
    unrest = float(np.sqrt(np.var(tissue[::2, ::2, ::2]) + (0.5 if look.denoise else 1.0) * grain))
    wanted = look.clarity * unrest * float(np.exp(0.5 * look.decay))
    return np.float32(max(1.0, wanted / max(dimmer, 1e-4)))


def vessel_light(
    graph: nx.Graph,
    segments: Segments,
    *,
    shape: Shape,
    size: VoxelSize,
    look: Appearance,
    rng: np.random.Generator,
) -> tuple[F32, npt.NDArray[np.bool_]]:
    """Return the vessels' light after the optics and which voxels lie in a tube.

    Where slices are coarse for the point spread function, slices between them are computed first.
    """
    between = int(np.clip(np.ceil(size[0] / (1.5 * look.psf_z_um)), 1, 3))
    fine_size = (size[0] / between, size[1], size[2])
    fine_shape = (shape[0] * between, shape[1], shape[2])
    distance, owner = signed_distance(segments, fine_shape, fine_size, reach_um=0.6 * max(fine_size))
    brightness = segment_brightness(graph, segments, look, size[2], rng)
    light = emitted_light(brightness, distance, owner, size=fine_size, look=look, rng=rng)
    if look.shadow:
        above = np.cumsum(distance < 0, axis=0, dtype=np.float32) * np.float32(fine_size[0] / (20 * size[2]))
        light *= np.exp(-look.shadow * above)
    narrow = ndimage.gaussian_filter(light, _voxels(look.psf_z_um, look.psf_xy_um, fine_size), truncate=3)[
        ::between
    ]
    image = narrow.copy()
    depth = np.linspace(0, 1, shape[0], dtype=np.float32)[:, None, None]
    if look.tail or look.depth_blur:
        sigma = _voxels(look.tail_factor * look.psf_z_um, look.tail_factor * look.psf_xy_um, size)
        weight = np.clip(look.tail + look.depth_blur * depth, 0, 0.8)
        image += weight * (wide_blur(narrow, sigma) - narrow)
    if look.haze:
        glow = wide_blur(narrow, _voxels(look.haze_um, look.haze_um, size))
        if look.leak:
            patchy = np.clip(1 + smooth_noise(shape, 4 * size[2] / np.asarray(size), rng), 0, 3)
            where = np.clip(1.5 * smooth_noise(shape, 50 * size[2] / np.asarray(size), rng), 0, 3)
            glow *= (1 - look.leak) + look.leak * patchy * where
        image += look.haze * 2 * glow
    return image, distance[::between] < 0


def _voxels(z_um: float, xy_um: float, size: VoxelSize) -> tuple[float, float, float]:
    return (z_um / size[0], xy_um / size[1], xy_um / size[2])


def light_path(light: F32, look: Appearance, rng: np.random.Generator) -> F32:
    """Return the light after attenuation with depth, shading, stripes and movement."""
    shape = light.shape
    depth = np.linspace(0, 1, shape[0], dtype=np.float32)[:, None, None]
    if look.decay:
        light = light * np.exp(-look.decay * (depth if rng.uniform() < 0.7 else 1 - depth))
    if look.shading:
        light = light * np.exp(
            look.shading * smooth_noise(shape, (shape[0], shape[1] / 2, shape[2] / 2), rng)
        )
    if look.stripes:
        cells = (shape[0] / 3, rng.uniform(1, 4), shape[2] / 2)
        light = light * np.clip(1 + look.stripes * smooth_noise(shape, cells, rng), 0.1, 3)
    if look.line_gain:
        lines = rng.standard_normal((*shape[:2], 1), dtype=np.float32)
        light = light * np.clip(1 + look.line_gain * lines, 0.1, 3)
    if look.jitter:
        move = 0.5 * rng.standard_normal((shape[0], 1, 1)) + 0.5 * rng.standard_normal((*shape[:2], 1))
        light = _move_lines(light, np.clip(look.jitter * move, -1, 1).astype(np.float32))
    return np.asarray(light, np.float32)


def _move_lines(light: F32, move: F32) -> F32:
    """Shift every line along x by `move` voxels (z, y, 1) in -1..1, by linear interpolation."""
    left = np.concatenate([light[..., :1], light[..., :-1]], axis=2)
    right = np.concatenate([light[..., 1:], light[..., -1:]], axis=2)
    return np.asarray(light + np.abs(move) * (np.where(move > 0, left, right) - light))

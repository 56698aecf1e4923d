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
F64 = npt.NDArray[np.float64]


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
    tissue = tissue_light(shape, size, look, rng)
    brightness = segment_brightness(graph, segments, look, size[2], rng)
    brightness = np.hypot(brightness, faintest_brightness(segments, tissue, look))
    light = tissue + vessel_light(segments, brightness, shape=shape, size=size, look=look, rng=rng)
    if look.margin:
        light *= np.maximum(inside_tissue(shape, size, rng), 0.02)
    return detect(light_path(light, look, rng), look, rng)


def faintest_brightness(segments: Segments, tissue: F32, look: Appearance) -> F64:
    """Return the brightness (N,) at which each segment just has the contrast ``look.clarity``.

    Nobody labels what cannot be seen: contrast is counted in standard deviations of the tissue's texture and
    the noise, or steps of the stored numbers where these are coarser, after the loss of a thin vessel's light
    to the point spread function (``1 - exp(-r^2 / 2 s^2)`` is what stays on the axis of a tube of radius r).
    """
    low, high = np.percentile(tissue[::2, ::2, ::2], [5, 95])
    grain = look.level / look.photons + look.read_noise**2 + look.level * look.line_noise**2
    texture = ((float(high) - float(low)) / 3.3) ** 2 + (0.5 if look.denoise else 1.0) * grain
    step = (0.5 / (2**look.bits * look.gain)) ** (1 / look.gamma)
    seen = look.clarity * max(float(np.sqrt(texture)), step) * float(np.exp(0.6 * look.decay))
    radius = 0.5 * (segments.radius_start + segments.radius_stop)
    kept = 1 - np.exp(-(radius**2) / (2 * look.psf_z_um * look.psf_xy_um))
    return np.asarray(seen / np.maximum(kept, 0.08))


def vessel_light(
    segments: Segments,
    brightness: F64,
    *,
    shape: Shape,
    size: VoxelSize,
    look: Appearance,
    rng: np.random.Generator,
) -> F32:
    """Return the vessels' light after the optics, (z, y, x) float32.

    Where slices are coarse for the point spread function, slices between them are computed first.
    """
    between = int(np.clip(np.ceil(size[0] / (1.5 * look.psf_z_um)), 1, 3))
    fine_size = (size[0] / between, size[1], size[2])
    fine_shape = (shape[0] * between, shape[1], shape[2])
    distance, owner = signed_distance(segments, fine_shape, fine_size, reach_um=0.6 * max(fine_size))
    light = emitted_light(brightness, distance, owner, size=fine_size, look=look, rng=rng)
    if look.shadow:
        above = np.cumsum(distance < 0, axis=0, dtype=np.float32) * np.float32(fine_size[0] / (20 * size[2]))
        light *= np.exp(-look.shadow * (1 - np.exp(-above)))
    narrow = ndimage.gaussian_filter(light, _voxels(look.psf_z_um, look.psf_xy_um, fine_size), truncate=3)[
        ::between
    ]
    image: F32 = narrow.copy()
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
    return image


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

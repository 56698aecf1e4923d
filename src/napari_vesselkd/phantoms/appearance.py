"""How a phantom looks: every parameter of the imaging model, and the wide distributions they are drawn from.

Appearance is drawn much more widely than any one microscope varies (domain randomisation; vesselFM, Wittmann
et al., arXiv 2411.17386, section 3). Brightness is relative: an average large vessel has 1 before blurring.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import VoxelSize


@dataclass(frozen=True)
class Appearance:
    """The parameters of one imaging session.

    Attributes
    ----------
    clarity : float
        The least contrast of a vessel, in standard deviations of the tissue's texture and the noise.
    branch_spread, tree_spread, field_spread : float
        Log standard deviations of vessel brightness: between branches, between trees (downwards only),
        slowly in space.
    thin_dimming : float
        Brightness goes with the radius to this power, for vessels thinner than 4 in-plane voxels.
    beads, bead_um : float
        Depth 0..1 and length in um of dark gaps in thin vessels (passing red blood cells).
    streak, mottle : float
        Amplitude of line-wise and of blotchy texture inside vessels.
    hollow, wall_um, rim : float
        Share of the lumen's light that is missing (stained walls), wall thickness, extra light of the wall.
    psf_z_um, psf_xy_um : float
        Standard deviations of the Gaussian point spread function.
    tail, tail_factor, depth_blur : float
        Share of light in a wider Gaussian, its width relative to the first, and its growth with depth.
    haze, haze_um, leak : float
        Diffuse glow round vessels, its reach, and the share of it that is patchy like leaked dye.
    shadow : float
        Loss of light below vessels (absorption by blood), as an exponent that is reached where 40 and
        more in-plane voxels of vessel lie above.
    level, slow, fine, middle, coarse : float
        Tissue brightness, and relative amplitudes of its slow field and of its texture at three scales.
    cells, cell_light, debris, debris_light, patches, patch_light : float
        Cell bodies (per 10^6 voxels; brightness relative to the tissue, negative is darker), bright dots (per
        10^6 voxels; brightness), large bright patches such as plaques (number; brightness).
    organs, bones : float
        Contrast of large bodies of even brightness (relative to the tissue), brightness of bone-like ones.
    margin : float
        1 where the tissue ends inside the volume and all outside is dark, else 0.
    decay, shading, stripes, line_gain, jitter : float
        Exponent of the light's loss over the depth; amplitudes of shading, light-sheet stripes and
        line-to-line gain; movement of lines in voxels.
    photons, read_noise, line_noise, denoise : float
        Photons of an average vessel voxel; Gaussian noise; noise correlated along x; 0 none, 1 Gaussian
        smoothing, 2 median filter.
    gamma, bits, gain, offset : float
        Contrast curve; 8, 12 or 16; brightest percentile and zero level as shares of full scale.
    """

    clarity: float
    branch_spread: float
    tree_spread: float
    field_spread: float
    thin_dimming: float
    beads: float
    bead_um: float
    streak: float
    mottle: float
    hollow: float
    wall_um: float
    rim: float
    psf_z_um: float
    psf_xy_um: float
    tail: float
    tail_factor: float
    depth_blur: float
    haze: float
    haze_um: float
    leak: float
    shadow: float
    level: float
    slow: float
    fine: float
    middle: float
    coarse: float
    cells: float
    cell_light: float
    debris: float
    debris_light: float
    patches: float
    patch_light: float
    organs: float
    bones: float
    margin: float
    decay: float
    shading: float
    stripes: float
    line_gain: float
    jitter: float
    photons: float
    read_noise: float
    line_noise: float
    denoise: float
    gamma: float
    bits: float
    gain: float
    offset: float


NAMES = tuple(field.name for field in fields(Appearance))
_SIGNED = ("cell_light", "organs")
_POSITIVE = (
    "bead_um",
    "wall_um",
    "psf_z_um",
    "psf_xy_um",
    "tail_factor",
    "haze_um",
    "photons",
    "gamma",
    "gain",
)


def check_fixed(values: Mapping[str, float]) -> None:
    """Refuse unknown names and impossible values.

    Raises
    ------
    InvalidInputError
        Naming the first one found.
    """
    for name, value in values.items():
        if name not in NAMES:
            raise InvalidInputError("Unknown appearance parameter", value=name, limit=", ".join(NAMES))
        low = -math.inf if name in _SIGNED else 0.0
        if not math.isfinite(value) or value < low or (value == 0 and name in _POSITIVE):
            limit = "a positive number" if name in _POSITIVE else "a finite number, not negative"
            raise InvalidInputError(
                f"The appearance parameter {name} cannot be used", value=value, limit=limit
            )
    if values.get("bits", 8) not in {8, 12, 16}:
        raise InvalidInputError("Unknown bit depth", value=values["bits"], limit="8, 12, 16")


def draw_appearance(
    modality: str, voxel_size_um: VoxelSize, fixed: Mapping[str, float], rng: np.random.Generator
) -> Appearance:
    """Return a random appearance that suits `modality` and the sampling, with the `fixed` values put in."""
    two_photon, light_sheet = modality == "two_photon", modality == "light_sheet"
    angiography = not (two_photon or light_sheet)
    z, _, x = voxel_size_um

    def span(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    def ratio(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    def sometimes(share: float, value: float) -> float:
        return value if rng.uniform() < share else 0.0

    lateral = x * ratio(0.4, 1.5)
    axial = max(lateral * span(1.0, 2.2), z * ratio(0.4, 1.1))
    bits = float(rng.choice([8, 12, 16], p=[0.55, 0.2, 0.25]))
    drawn = Appearance(
        clarity=ratio(2.0, 12.0),
        branch_spread=span(0.0, 0.5),
        tree_spread=span(0.0, 1.1) if not angiography else span(0.0, 0.3),
        field_spread=span(0.0, 0.9) if two_photon else span(0.0, 0.45) if light_sheet else span(0.0, 0.15),
        thin_dimming=span(0.0, 0.6),
        beads=sometimes(0.55 if two_photon else 0.15, span(0.2, 0.95)),
        bead_um=x * ratio(2.0, 7.0),
        streak=sometimes(0.6 if two_photon else 0.1, span(0.0, 0.45)),
        mottle=sometimes(0.7, span(0.0, 0.4)),
        hollow=sometimes(0.5 if light_sheet else 0.05, span(0.4, 1.0)),
        wall_um=x * ratio(0.8, 3.0),
        rim=sometimes(0.25, span(0.1, 0.8)),
        psf_z_um=axial if not angiography else z * ratio(0.45, 0.9),
        psf_xy_um=lateral,
        tail=sometimes(0.6, span(0.0, 0.25)),
        tail_factor=span(1.8, 3.5),
        depth_blur=sometimes(0.5, span(0.0, 0.4)),
        haze=sometimes(0.4, ratio(0.01, 0.3)),
        haze_um=x * ratio(6.0, 30.0),
        leak=sometimes(0.35, span(0.3, 1.0)),
        shadow=sometimes(0.7 if two_photon else 0.1, span(0.0, 2.5)),
        level=ratio(0.008, 0.4) if two_photon else ratio(0.04, 0.7) if light_sheet else span(0.2, 0.8),
        slow=0.5 * span(0.0, 1.0) ** 2,
        fine=sometimes(0.6, 0.4 * span(0.0, 1.0) ** 2),
        middle=sometimes(0.6, 0.4 * span(0.0, 1.0) ** 2),
        coarse=sometimes(0.6, 0.4 * span(0.0, 1.0) ** 2),
        cells=sometimes(0.35, ratio(10, 400)),
        cell_light=span(-0.8, 1.0),
        debris=sometimes(0.45 if not angiography else 0.1, ratio(5, 300)),
        debris_light=ratio(0.1, 2.0),
        patches=sometimes(0.12, float(rng.integers(1, 9))),
        patch_light=ratio(0.05, 0.7),
        organs=sometimes(0.85 if angiography else 0.03, span(-0.9, 0.7)),
        bones=sometimes(0.4 if angiography else 0.0, span(0.6, 1.8)),
        margin=sometimes(0.15 if light_sheet else 0.02, 1.0),
        decay=sometimes(0.6 if not angiography else 0.1, 1.8 * span(0.0, 1.0) ** 1.5),
        shading=0.35 * span(0.0, 1.0) ** 2,
        stripes=sometimes(0.5 if light_sheet else 0.03, span(0.02, 0.2)),
        line_gain=sometimes(0.3 if two_photon else 0.05, span(0.01, 0.1)),
        jitter=sometimes(0.35 if two_photon else 0.0, span(0.1, 0.9)),
        photons=ratio(20, 6000),
        read_noise=sometimes(0.7, ratio(0.002, 0.045)),
        line_noise=sometimes(0.4 if two_photon else 0.05, ratio(0.005, 0.12)),
        denoise=float(rng.choice([0, 1, 2], p=[0.45, 0.35, 0.2])),
        gamma=ratio(0.7, 2.0) if two_photon else ratio(0.65, 1.45),
        bits=bits,
        gain=span(0.35, 1.5) if bits < 16 else ratio(0.02, 0.9),
        offset=sometimes(0.7, span(0.0, 0.06)),
    )
    return replace(drawn, **dict(fixed))

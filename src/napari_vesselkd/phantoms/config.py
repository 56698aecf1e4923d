"""What a phantom is made of: the configuration, and how its open fields are drawn at random."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import Shape, VoxelSize, checked_voxel_size
from napari_vesselkd.phantoms.appearance import check_fixed

SCENES = ("capillary", "pial", "tree", "sparse")
MODALITIES = ("two_photon", "light_sheet", "angiography")
MODALITY_SHARES = (0.65, 0.22, 0.13)
SCENE_SHARES = {
    "two_photon": (0.36, 0.49, 0.1, 0.05),
    "light_sheet": (0.6, 0.12, 0.2, 0.08),
    "angiography": (0.05, 0.35, 0.5, 0.1),
}
COARSE_Z_SHARE = {"two_photon": 0.75, "light_sheet": 0.3, "angiography": 0.2}
DEFAULT_SHAPE: Shape = (32, 160, 160)
MAX_VOXELS = 2**28


@dataclass(frozen=True)
class PhantomConfig:
    """One phantom. Every field that is None is drawn at random from `seed`.

    Fixing one field leaves the random choice of all the others as it is.

    Attributes
    ----------
    shape : tuple of int
        Voxels (z, y, x).
    seed : int
        Same seed and same fields give identical arrays.
    voxel_size_um : tuple of float, optional
        Voxel size (z, y, x) in um.
    scene : {"capillary", "pial", "tree", "sparse"}, optional
        Looping capillary bed; large vessels in the plane; branching trees; a few vessels only.
    modality : {"two_photon", "light_sheet", "angiography"}, optional
        Which family of appearances (background, noise, artefacts) is drawn from.
    density : float, optional
        0 (few vessels) .. 1 (crowded).
    label_inflation : float
        How much fatter than the tube the label is, in standard deviations of the point spread function,
        per axis. People who annotate include part of the blurred rim; 0 gives the bare tubes.
    appearance : mapping of str to float
        Parameters of the imaging model to fix, by their names in
        `napari_vesselkd.phantoms.appearance.Appearance`, for example ``{"photons": 50, "bits": 8}``.
    """

    shape: Shape = DEFAULT_SHAPE
    seed: int = 0
    voxel_size_um: VoxelSize | None = None
    scene: str | None = None
    modality: str | None = None
    density: float | None = None
    label_inflation: float = 1.2
    appearance: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_shape(self.shape)
        if isinstance(self.seed, bool) or not isinstance(self.seed, int | np.integer) or self.seed < 0:
            raise InvalidInputError("The seed cannot be used", value=self.seed, limit="a whole number >= 0")
        if self.voxel_size_um is not None:
            checked_voxel_size(self.voxel_size_um)
        _check_choice("scene", self.scene, SCENES)
        _check_choice("modality", self.modality, MODALITIES)
        _check_range("density", self.density, 0.0, 1.0)
        _check_range("label inflation", self.label_inflation, 0.0, 3.0)
        check_fixed(self.appearance)


def _check_shape(shape: Sequence[int]) -> None:
    whole = len(shape) == 3 and all(isinstance(n, int | np.integer) and n >= 1 for n in shape)
    if not whole or math.prod(shape) > MAX_VOXELS:
        raise InvalidInputError(
            "The phantom's shape cannot be used",
            value=",".join(str(n) for n in shape),
            limit=f"three whole numbers z,y,x >= 1, at most {MAX_VOXELS} voxels together",
            remedy="Give it as Z,Y,X, for example 32,160,160",
        )


def _check_choice(name: str, value: str | None, allowed: Sequence[str]) -> None:
    if value is not None and value not in allowed:
        raise InvalidInputError(f"Unknown {name}", value=repr(value), limit=", ".join(allowed))


def _check_range(name: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not (math.isfinite(value) and low <= value <= high):
        raise InvalidInputError(f"The {name} is out of range", value=value, limit=f"{low:g} to {high:g}")


def draw_open_fields(config: PhantomConfig, rng: np.random.Generator) -> dict[str, Any]:
    """Return the configuration as a dict with every None replaced by a random choice."""
    modality = str(rng.choice(MODALITIES, p=MODALITY_SHARES))
    if config.modality is not None:
        modality = config.modality
    scene = str(rng.choice(SCENES, p=SCENE_SHARES[modality]))
    drawn = {
        "modality": modality,
        "scene": scene,
        "voxel_size_um": draw_voxel_size(modality, rng),
        "density": float(rng.uniform()),
    }
    given = {entry.name: getattr(config, entry.name) for entry in fields(config)}
    return {name: drawn[name] if value is None else value for name, value in given.items()}


def draw_voxel_size(modality: str, rng: np.random.Generator) -> VoxelSize:
    """Return a voxel size (z, y, x) in um: coarse z (2..6 times the in-plane size) or nearly isotropic."""
    coarse, in_plane, ratio, flat = rng.uniform(size=4)
    xy = 0.6 * 4.2**in_plane
    if coarse < COARSE_Z_SHARE[modality]:
        z = float(np.clip(xy * (2.0 + 4.0 * ratio), 2.0, 6.0))
    else:
        xy = 0.8 * 3.2**in_plane
        z = xy * (0.8 + 1.1 * ratio if flat > 0.3 else 1.0)
    return (round(float(z), 3), round(float(xy), 3), round(float(xy), 3))

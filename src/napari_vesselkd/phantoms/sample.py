"""The phantom of napari's sample menu and of the demo."""

from __future__ import annotations

from napari_vesselkd.phantoms.config import PhantomConfig
from napari_vesselkd.phantoms.phantom import Phantom, make_phantom

_CLEAN = dict.fromkeys(
    ("hollow", "rim", "leak", "cells", "patches", "organs", "bones", "margin")
    + ("stripes", "line_gain", "jitter", "denoise"),
    0.0,
)

SAMPLE = PhantomConfig(
    shape=(96, 256, 256),
    seed=0,
    voxel_size_um=(2.0, 1.0, 1.0),
    scene="pial",
    modality="two_photon",
    density=0.3,
    appearance=_CLEAN
    | {
        "clarity": 4.0,
        "branch_spread": 0.2,
        "tree_spread": 0.3,
        "field_spread": 0.2,
        "thin_dimming": 0.2,
        "beads": 0.4,
        "streak": 0.15,
        "mottle": 0.1,
        "psf_z_um": 2.2,
        "psf_xy_um": 0.8,
        "tail": 0.1,
        "tail_factor": 3.0,
        "depth_blur": 0.15,
        "haze": 0.03,
        "shadow": 0.4,
        "level": 0.06,
        "slow": 0.1,
        "fine": 0.1,
        "middle": 0.1,
        "coarse": 0.1,
        "debris": 6.0,
        "debris_light": 0.6,
        "decay": 0.5,
        "shading": 0.1,
        "photons": 150.0,
        "read_noise": 0.01,
        "line_noise": 0.02,
        "gamma": 0.9,
        "bits": 12.0,
        "gain": 1.1,
        "offset": 0.02,
    },
)


def sample_phantom() -> Phantom:
    """Return 96 x 256 x 256 voxels of surface vessels over a capillary bed, always the same."""
    return make_phantom(SAMPLE)

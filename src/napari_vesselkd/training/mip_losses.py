"""Losses of logits against labels of rays: what is known of a projection, not of its voxels.

A ray's logit is the maximum of those of its voxels (Kozinski et al. 2020, MedIA 60, 101590, eq. 2), so its
gradient reaches one voxel. What is hidden behind that one learns nothing; that is why a second axis helps.
Depth supervision (Dima et al. 2023, arXiv 2309.08481, eq. 3: ``alpha_d L_depth + alpha_2D L_2D``) adds that a
ray of vessel is vessel where the image is brightest; here with the round vessel around that voxel, and with
all voxels of background rays (`MipCrop`), by the losses of voxel labels.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from napari_vesselkd.training.losses import LossConfig, segmentation_terms
from napari_vesselkd.training.mip_patches import MipBatch, RayTarget
from napari_vesselkd.training.patches import Batch


@dataclass(frozen=True)
class MipLossConfig:
    """Weights of the terms.

    Attributes
    ----------
    terms : LossConfig
        Cross entropy, Dice and recall of the centrelines, both of rays and of voxels.
    projection : float
        Of those of the projected logits (alpha_2D).
    depth : float
        Of those of what the rays say of voxels (alpha_d).
    """

    terms: LossConfig = field(default_factory=LossConfig)
    projection: float = 0.02
    depth: float = 1.0


def mip_terms(logits: Tensor, batch: MipBatch, config: MipLossConfig | None = None) -> dict[str, Tensor]:
    """Return the weighted terms, scalars, by name, of logits (B, 1, Z, Y, X); their sum is the loss."""
    config = config or MipLossConfig()
    logits, found = logits.float(), {}
    if config.projection:
        for name, term in _ray_terms(logits, batch, config.terms).items():
            found[f"MIP {name}"] = config.projection * term
    if config.depth:
        voxels = segmentation_terms(logits, batch.voxels, config.terms)
        found["MIP depth"] = config.depth * torch.stack(list(voxels.values())).sum()
    return found


def projected(logits: Tensor, target: RayTarget) -> Tensor:
    """Return the logits of rays, in the shape of `target.label`: the maximum over their slab."""
    inside = logits[target.entry, 0].narrow(target.axis, target.start, target.stop - target.start)
    return inside.amax(dim=target.axis, keepdim=True)


def _ray_terms(logits: Tensor, batch: MipBatch, config: LossConfig) -> dict[str, Tensor]:
    if not batch.targets:
        return {"cross entropy": 0 * logits.sum()}
    rays = torch.cat([projected(logits, target).flatten() for target in batch.targets])
    label, centreline, valid = (
        torch.cat([getattr(target, name).flatten() for target in batch.targets])
        for name in ("label", "centreline", "valid")
    )
    return segmentation_terms(rays, Batch(rays, label, centreline, valid), config)

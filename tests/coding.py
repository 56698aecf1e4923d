"""What tests of codes share: small teachers whose codes are mixed, and maps by brute force."""

from __future__ import annotations

import numpy as np
import torch

from napari_vesselkd.checkpoints import CheckpointCard, load_checkpoint, save_checkpoint
from napari_vesselkd.models.quantiser import QuantiserConfig
from napari_vesselkd.models.teacher import Teacher, TeacherConfig
from napari_vesselkd.volume import measure_intensity_window
from segmenting import structured

TINY = TeacherConfig(3, "segresnet", 12, QuantiserConfig(codes=16, width=8), 64)
# stride; which of a window's codes is taken; where the window begins, seen from the first voxel of the cell
GRIDS = {"segresnet": (32, 1, -28), "swin_unetr": (32, 1, -32), "unetr": (16, 2, -32)}


def card_of(config, **changes):
    values = {"name": "t", "description": "random weights", "config": config.to_dict()}
    return CheckpointCard(**{**values, "architecture": "teacher", "normalisation": "windows", **changes})


def write_teacher(path, config=TINY, seed=0):
    """Write a teacher of random weights whose codes are places of its own bottleneck; return its path."""
    torch.manual_seed(seed)
    model = Teacher(config).eval()
    patches = [structured((64, 64, 64), seed=9 + i).astype(np.float32) for i in range(8)]
    patches = [np.clip(patch / np.percentile(patch, 95), 0, 1) for patch in patches]
    with torch.no_grad():
        found = [model.embed(torch.from_numpy(patch)[None, None])[0].flatten(1).T for patch in patches]
        tokens = torch.cat(found)
        table = tokens[torch.randperm(len(tokens))[: config.quantiser.codes]]
        model.quantiser.table().data.copy_(table)
    save_checkpoint(path, model, card_of(config))
    return str(path)


def scaled_image(volume):
    """Return the voxels as the encoder sees them, with the card's percentiles 0 and 95."""
    window = measure_intensity_window(volume, lower=0.0, upper=95.0)
    return window.apply(np.asarray(volume.levels[0][...]))


def brute_force(volume, checkpoint):
    """Return the code + 1 of each cell: its window is cut out of the padded volume, one cell at a time."""
    model, card = load_checkpoint(checkpoint)
    step, place, first = GRIDS[card.config["network"]]
    image = scaled_image(volume)
    for axis, size in enumerate(image.shape):
        pad = [(0, 0)] * 3
        pad[axis] = (64, 128)
        image = np.pad(image, pad, mode="reflect" if size > 1 else "edge")
    found = np.zeros([-(-side // step) for side in volume.shape], np.uint16)
    for cell in np.ndindex(*found.shape):
        part = tuple(slice(64 + i * step + first, 128 + i * step + first) for i in cell)
        with torch.inference_mode():
            codes = model.codes(torch.from_numpy(image[part].copy())[None, None])[0]
        found[cell] = codes[place, place, place] + 1
    return found

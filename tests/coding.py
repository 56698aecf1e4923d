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
KEPT = {"segresnet": (2, 0, 32), "swin_unetr": (2, 0, 32), "unetr": (2, 1, 16)}  # cells kept, margin, stride


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
    kept, margin, step = KEPT[card.config["network"]]
    image = scaled_image(volume)
    for axis, size in enumerate(image.shape):
        pad = [(0, 0)] * 3
        pad[axis] = (64, 128)
        image = np.pad(image, pad, mode="reflect" if size > 1 else "edge")
    shape = [-(-side // step) for side in volume.shape]
    found, known = np.zeros(shape, np.uint16), {}
    for cell in np.ndindex(*shape):
        first = tuple(i // kept * kept - margin for i in cell)
        if first not in known:
            part = tuple(slice(64 + low * step, 64 + low * step + 64) for low in first)
            with torch.inference_mode():
                known[first] = model.codes(torch.from_numpy(image[part].copy())[None, None])[0].numpy()
        found[cell] = known[first][tuple(i - low for i, low in zip(cell, first, strict=True))] + 1
    return found

"""Voxels that differ between blocks and one pass over the whole volume. Promise: 0 at the recommended halo.

The recommended halo is the exact reach of the net. The whole volume is also passed through the net in eager
PyTorch, another implementation: there, only voxels whose logit is at the threshold to seven digits may
differ.

    python benchmarks/bench_tiling.py [--shape 320,320,320] [--halos 32,64,96] [--checkpoint NAME]
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from bench_throughput import in_blocks, vessels

from napari_vesselkd.checkpoints import CheckpointRegistry
from napari_vesselkd.checkpoints.calibration import calibrate
from napari_vesselkd.geometry import as_shape
from napari_vesselkd.inference import SegmentConfig
from napari_vesselkd.inference.costs import strides_of
from napari_vesselkd.inference.predictor import logit
from napari_vesselkd.models.streaming import exact_reach
from napari_vesselkd.volume import measure_intensity_window, volume_from_arrays


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", default="320,320,320")
    parser.add_argument("--halos", default="")
    parser.add_argument("--blocks", default="64,128,256")
    parser.add_argument("--checkpoint", default="student-isotropic")
    parser.add_argument("--precision", default="fp32")
    options = parser.parse_args()
    shape = as_shape([int(side) for side in options.shape.split(",")])
    checkpoint = CheckpointRegistry().get(options.checkpoint)
    card, model = checkpoint.card, checkpoint.load()
    print(f"{card.name}, {options.precision}: recommended halo {exact_reach(strides_of(card.config))}")
    halos = [None, *(int(halo) for halo in options.halos.split(",") if halo)]
    dense = vessels(shape)
    half = dense.copy()
    half[:, :, shape[2] // 2 :] = dense.min()
    for name, raw in (("dense", dense), ("half empty", half)):
        volume = volume_from_arrays([raw], voxel_size_um=(1, 1, 1), name=name)
        window = measure_intensity_window(volume)
        if card.normalisation == "volume":
            calibrate(model, volume, window, stride=model.total_stride, padding=card.padding)

        def labels(block: int, halo: int | None, volume=volume, window=window) -> np.ndarray:
            settings = SegmentConfig(
                device="cpu", block=block, halo=halo, precision=options.precision, threads=1
            )
            return in_blocks(model, card, volume, window, settings)

        whole = labels(-(-max(shape) // 32) * 32, None)
        if all(side % step == 0 for side, step in zip(shape, model.total_stride, strict=True)):
            with torch.inference_mode():
                eager = model(torch.from_numpy(window.apply(raw))[None, None])[0, 0].numpy()
            other = (eager / card.calibration["temperature"] >= logit(card.threshold)) != whole
            print(f"  {name}, one block against eager PyTorch: {np.count_nonzero(other)} voxels differ")
        for halo in halos:
            for block in (int(side) for side in options.blocks.split(",")):
                differ = np.count_nonzero(labels(block, halo) != whole)
                print(
                    f"  {name}, block {block}, halo {halo or 'recommended'}: "
                    f"{differ} of {whole.size} voxels differ ({whole.mean():.1%} vessel)",
                    flush=True,
                )


if __name__ == "__main__":
    main()

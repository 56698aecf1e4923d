"""Voxels that differ between blocks and one pass over the whole volume. Promise: 0 at the recommended halo.

    python benchmarks/bench_tiling.py [--shape 320,320,320] [--halos 32,64,96] [--checkpoint NAME]
"""

from __future__ import annotations

import argparse

import numpy as np
from bench_throughput import vessels

from napari_vesselkd.blocks import BlockGrid, blocks_in_order, read_block
from napari_vesselkd.checkpoints import CheckpointRegistry
from napari_vesselkd.geometry import as_shape
from napari_vesselkd.inference.devices import Backend
from napari_vesselkd.inference.predictor import Predictor
from napari_vesselkd.models.streaming import exact_reach
from napari_vesselkd.volume import measure_intensity_window, volume_from_arrays


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="320,320,320")
    parser.add_argument("--halos", default="")
    parser.add_argument("--blocks", default="64,128,256")
    parser.add_argument("--checkpoint", default="student-isotropic")
    parser.add_argument("--precision", default="fp32")
    options = parser.parse_args()
    shape = as_shape([int(side) for side in options.shape.split(",")])
    checkpoint = CheckpointRegistry().get(options.checkpoint)
    card = checkpoint.card
    predictor = Predictor(
        checkpoint.load(), card.calibration["temperature"], Backend("cpu", options.precision, "openvino"), 1
    )
    reach = exact_reach(predictor.student.stem_stride, predictor.student.strides)
    print(f"{card.name}: recommended halo {card.halo}, exact reach of the net {reach}")
    halos = [as_shape([int(h)] * 3) for h in options.halos.split(",") if h] or [card.halo]
    dense = vessels(shape)
    half = dense.copy()
    half[:, :, shape[2] // 2 :] = dense.min()
    for name, raw in (("dense", dense), ("half empty", half)):
        volume = volume_from_arrays([raw], voxel_size_um=(1, 1, 1), name=name)
        window = measure_intensity_window(volume)
        scaled = volume_from_arrays([window.apply(raw)], voxel_size_um=(1, 1, 1), name=name)
        whole = labels(predictor, scaled, card, BlockGrid(shape, around(shape, predictor), (0, 0, 0), predictor.total_stride))
        for halo in halos:
            for side in (int(block) for block in options.blocks.split(",")):
                found = labels(predictor, scaled, card, BlockGrid(shape, (side,) * 3, halo, predictor.total_stride))
                differ = np.count_nonzero(found != whole)
                print(
                    f"  {name}, block {side}, halo {'x'.join(map(str, halo))}: {differ} of {found.size} voxels "
                    f"differ ({whole.mean():.1%} vessel)",
                    flush=True,
                )


def around(shape, predictor):
    """Return the shape of one block around everything."""
    return as_shape([-(-n // step) * step for n, step in zip(shape, predictor.total_stride, strict=True)])


def labels(predictor, volume, card, grid):
    found = np.zeros(volume.shape, np.uint8)
    for block in blocks_in_order(grid):
        voxels = read_block(volume, block.outer, card.padding)
        core = predictor.labels(voxels, card.threshold, block.core_in_outer)
        found[block.target.slices] = core[block.target_in_core.slices]
    return found


if __name__ == "__main__":
    main()

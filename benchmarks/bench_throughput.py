"""Throughput, halo included, against MONAI's sliding window with the same net.

Promise: fp32 at least 6x (batch 1) and 3x (batch 4), best precision at least 12x and 5x. CPU seconds of one
process and one thread each, from raw voxels in memory to labels in memory (MONAI on a part of the volume);
then the whole of `segment()`, with sampling, writing and pyramid.

    python benchmarks/bench_throughput.py [--shape 512,512,512] [--block 256] [--halo N] [--checkpoint NAME]
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch

from napari_vesselkd.blocks import BlockGrid, blocks_in_order
from napari_vesselkd.checkpoints import CheckpointRegistry
from napari_vesselkd.checkpoints.calibration import calibrate
from napari_vesselkd.geometry import as_shape
from napari_vesselkd.inference import SegmentConfig, segment
from napari_vesselkd.inference.blockwork import BlockWork
from napari_vesselkd.inference.context import context_store
from napari_vesselkd.inference.devices import choose_backend
from napari_vesselkd.inference.predictor import Predictor
from napari_vesselkd.models.streaming import exact_reach
from napari_vesselkd.phantoms import PhantomConfig, make_phantom
from napari_vesselkd.volume import measure_intensity_window, volume_from_arrays


def main() -> None:
    options = arguments()
    shape = as_shape([int(side) for side in options.shape.split(",")])
    checkpoint = CheckpointRegistry().get(options.checkpoint)
    model = checkpoint.load()
    raw, truth = vessels(shape), vessels(shape, truth=True)
    volume = volume_from_arrays([raw], voxel_size_um=(1, 1, 1), name="phantom")
    window = measure_intensity_window(volume)
    torch.set_num_threads(1)
    if checkpoint.card.normalisation == "volume":
        calibrate(model, volume, window, stride=model.total_stride, padding=checkpoint.card.padding)
    part = raw[:256, :256, :256]
    print(f"{checkpoint.card.name}, {'x'.join(map(str, shape))}, block {options.block}, one thread")
    monai = {
        batch: rate(lambda b=batch: sliding_window(model, window.apply(part), b), part) for batch in (1, 4)
    }
    for batch, found in monai.items():
        print(f"  MONAI sliding window 64^3, overlap .25, batch {batch}: {found:6.2f} Mvoxel per CPU s")
    labels = {}
    for precision in ("fp32", "bf16"):
        settings = SegmentConfig(
            checkpoint=options.checkpoint,
            device="cpu",
            precision=precision,
            block=options.block,
            halo=options.halo,
            threads=1,
        )
        found = rate(
            lambda s=settings, p=precision: labels.update(
                {p: in_blocks(model, checkpoint.card, volume, window, s)}
            ),
            raw,
        )
        whole = rate(lambda s=settings: to_disk(volume, s), raw)
        print(
            f"  {precision}: {found:6.2f} Mvoxel per CPU s = {found / monai[1]:.1f}x batch 1, "
            f"{found / monai[4]:.1f}x batch 4; segment() to disk {whole:6.2f} = {whole / monai[1]:.1f}x, "
            f"{whole / monai[4]:.1f}x"
        )
    scores = {name: dice(found, truth) for name, found in labels.items()}
    print(
        f"  Dice against the phantom: fp32 {scores['fp32']:.5f}, bf16 {scores['bf16'] - scores['fp32']:+.5f}"
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", default="512,512,512")
    parser.add_argument("--block", type=int, default=256)
    parser.add_argument("--halo", type=int, default=None)
    parser.add_argument("--checkpoint", default="student-isotropic")
    return parser.parse_args()


def dice(found: np.ndarray, truth: np.ndarray) -> float:
    return 2 * np.count_nonzero(found & truth) / (np.count_nonzero(found) + np.count_nonzero(truth))


def vessels(shape: tuple[int, int, int], *, truth: bool = False) -> np.ndarray:
    """Return a phantom (or its labels), repeated in mirror image to `shape`, uint16 (uint8)."""
    phantom = make_phantom(PhantomConfig(shape=(96, 128, 128), seed=1))
    tile = phantom.label if truth else phantom.image
    tile = tile[tuple(slice(0, n) for n in shape)]
    return np.pad(tile, [(0, n - m) for n, m in zip(shape, tile.shape, strict=True)], mode="symmetric")


def rate(work, voxels) -> float:
    """Return Mvoxel per CPU second of this process."""
    start = time.process_time()
    work()
    return voxels.size / (time.process_time() - start) / 1e6


def sliding_window(model, voxels, batch) -> None:
    from monai.inferers import SlidingWindowInferer

    inferer = SlidingWindowInferer((64, 64, 64), sw_batch_size=batch, overlap=0.25)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inferer(torch.from_numpy(voxels)[None, None], model) > 0  # noqa: B015


def in_blocks(model, card, volume, window, settings) -> np.ndarray:
    """Return the labels of a volume in memory, computed in blocks as `segment` does, but for the disk."""
    predictor = Predictor(
        model,
        card.calibration["temperature"],
        choose_backend(settings.device, settings.precision),
        settings.threads,
    )
    halo = exact_reach(predictor.strides) if settings.halo is None else (settings.halo,) * 3
    grid = BlockGrid(volume.shape, (settings.block,) * 3, halo, predictor.total_stride)
    store = context_store(grid.extended.shape, predictor.strides)
    work = BlockWork(volume, window, card.padding, grid, predictor, store, card.threshold, False)
    labels = np.zeros(volume.shape, np.uint8)
    for job in work.jobs(blocks_in_order(grid)):
        voxels = work.read_ahead(job)
        if job.block is None:
            work.make_context(job, voxels)
        else:
            labels[job.block.target.slices] = work.predict(job, voxels).labels
    return labels


def to_disk(volume, settings) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for _ in segment(volume, Path(folder) / "labels.ome.zarr", settings):
            pass


if __name__ == "__main__":
    main()

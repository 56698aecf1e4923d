"""How many batches a second the threads make that training takes them from, beside one thread.

    python benchmarks/bench_batches.py [--threads 8] [--batches 64]

A batch is one of distilling: two labelled and two unlabelled patches of 64^3 voxels from volumes on disk,
with skeletons and changes of appearance, without the teacher's answers. On a CPU training has one thread for
them, on a GPU `training.fit.MOST_THREADS`: a step of the student takes less time there than its batch.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch

from napari_vesselkd.phantoms import PhantomConfig, make_phantom
from napari_vesselkd.training import AugmentConfig
from napari_vesselkd.training.fit import MOST_THREADS, made_ahead
from napari_vesselkd.training.lessons import Lessons
from napari_vesselkd.training.streams import Source, Stream
from napari_vesselkd.volume import IntensityWindow, open_volume, write_multiscale

SHAPE, PATCH = (96, 160, 160), (64, 64, 64)


def source(folder: Path, seed: int) -> Source:
    """Return a phantom on disk with its labels."""
    made = make_phantom(PhantomConfig(shape=SHAPE, seed=seed, voxel_size_um=(1.0, 1.0, 1.0)))
    image, label = folder / f"image-{seed}.ome.zarr", folder / f"label-{seed}.ome.zarr"
    write_multiscale(image, made.image, voxel_size_um=(1.0, 1.0, 1.0), levels=1)
    write_multiscale(label, 1 + made.label, voxel_size_um=(1.0, 1.0, 1.0), levels=1, label=True)
    window = IntensityWindow(float(made.image.min()), float(made.image.max()))
    return Source(image.name, open_volume(image), window, open_volume(label).read)


def rate(lessons: Lessons, threads: int, batches: int) -> float:
    """Return batches a second."""
    coming = made_ahead(lessons, iter(range(batches + threads)), threads)
    for _ in range(threads):
        next(coming)  # what is read once has been read
    began = time.perf_counter()
    for _ in coming:
        pass
    return batches / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=MOST_THREADS)
    parser.add_argument("--batches", type=int, default=64)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        labelled, plain = (source(Path(folder), seed) for seed in (1, 2))
        unlabelled = Source(plain.name, plain.volume, plain.window)
        streams = [Stream([labelled], PATCH), Stream([unlabelled], PATCH)]
        lessons = Lessons(streams, (2, 2), AugmentConfig())
        one, several = (rate(lessons, threads, given.batches) for threads in (1, given.threads))
    print(
        f"1 thread: {one:.2f} batches/s; {given.threads} threads: {several:.2f} ({several / one:.2f} times)"
    )


if __name__ == "__main__":
    main()

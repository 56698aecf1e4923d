"""Peak memory of a training run on a volume 8 times larger. Promise: the same (at most 1.1 times as much).

Pretraining and distilling for a few steps, each on volumes of 256^3 and 512^3 voxels in chunks of 64, each in
a fresh child process; patches are read straight from the chunks.

    python benchmarks/bench_training_memory.py [--sides 256,512]
"""

import argparse
import csv
import resource
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from bench_throughput import vessels

from napari_vesselkd.geometry import Region
from napari_vesselkd.volume import create_multiscale


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sides", default="256,512")
    parser.add_argument("--child", nargs=3, metavar=("STAGE", "DATASET", "RUN"))
    options = parser.parse_args()
    if options.child:
        run(*options.child)
        return
    with tempfile.TemporaryDirectory() as folder:
        data = {int(side): make(Path(folder), int(side)) for side in options.sides.split(",")}
        for stage in ("pretrain", "distill"):
            before = 0
            for side, path in data.items():
                child = ["--child", stage, str(path), str(Path(folder) / f"{stage}-{side}")]
                command = [sys.executable, __file__, *child]
                peak = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                ratio = f", {peak / before:.3f} times the one before" if before else ""
                print(f"  {stage}, {side}^3: peak {peak / 1e6:.0f} MB{ratio}", flush=True)
                before = peak


def run(stage: str, data: str, folder: str) -> None:
    from napari_vesselkd.checkpoints import CheckpointRegistry
    from napari_vesselkd.training.distill import distill
    from napari_vesselkd.training.presets import PRESETS
    from napari_vesselkd.training.pretrain import pretrain
    from napari_vesselkd.training.sources import material_of_csv

    quick = PRESETS["quick"]
    with material_of_csv(Path(data), upper=99.0) as material:
        if stage == "pretrain":
            reports = pretrain(material, Path(folder), replace(quick.pretrain, steps=8, threads=1))
        else:
            teacher = CheckpointRegistry().get("teacher-small")
            config = replace(quick.distill, steps=8, pool=8, threads=1)
            reports = distill(material, teacher, Path(folder), config)
        for _ in reports:
            pass
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def make(folder: Path, side: int) -> Path:
    """Write two volumes, one with labels; return their DATASET.csv."""
    rows = []
    tile = vessels((128, 128, 128))
    for name in ("labelled", "unlabelled"):
        paths = [folder / f"{name}-{side}-{kind}.ome.zarr" for kind in ("image", "label")]
        for path, content in zip(
            paths, (tile, (tile > np.percentile(tile, 97)).astype(np.uint8)), strict=True
        ):
            size, chunk = (1.0, 1.0, 1.0), (64, 64, 64)
            level = create_multiscale(
                path, (side,) * 3, content.dtype, voxel_size_um=size, levels=1, chunk=chunk
            )[0]
            for place in Region.whole((side,) * 3).pieces(tile.shape):
                level[place.slices] = content
        rows.append((paths[0].name, paths[1].name if name == "labelled" else "", name, "1,1,1"))
    path = folder / f"{side}.csv"
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([("image", "label", "group", "voxel_size_um"), *rows])
    return path


if __name__ == "__main__":
    main()

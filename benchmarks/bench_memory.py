"""Peak memory of segmenting volumes of 256^3, 512^3 and 1024^3 voxels with the same block. Promise: at most
1.1 times as much for a volume 8 times larger.

Each in a fresh child process, from and to zarr in chunks of 64. The halo is 160 voxels: a block of 64 is
computed from 384 voxels along each axis, which 256^3 does not have; 512^3 has all of it.

    python benchmarks/bench_memory.py [--block 64] [--sides 256,512,1024] [--checkpoint NAME]
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from bench_throughput import vessels

from napari_vesselkd.geometry import Region
from napari_vesselkd.volume import create_multiscale


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--block", type=int, default=64)
    parser.add_argument("--checkpoint", default="student-isotropic")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--sides", default="256,512,1024")
    parser.add_argument("--child", nargs=2, metavar=("SOURCE", "OUTPUT"))
    options = parser.parse_args()
    if options.child:
        run(options)
        return
    before = 0
    with tempfile.TemporaryDirectory() as folder:
        for side in map(int, options.sides.split(",")):
            source, output = Path(folder) / f"{side}.ome.zarr", Path(folder) / f"{side}.labels.ome.zarr"
            make(source, side)
            command = [sys.executable, __file__, *sys.argv[1:], "--child", str(source), str(output)]
            peak = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            ratio = f", {peak / before:.3f} times the one before" if before else ""
            print(f"  {side}^3, block {options.block}: peak {peak / 1e6:.0f} MB{ratio}", flush=True)
            before = peak


def run(options: argparse.Namespace) -> None:
    from napari_vesselkd.inference import SegmentConfig, segment

    settings = SegmentConfig(
        checkpoint=options.checkpoint, block=options.block, precision=options.precision, threads=1
    )
    for _ in segment(*options.child, settings):
        pass
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def make(path: Path, side: int) -> None:
    shape, chunk = (side,) * 3, (64, 64, 64)
    level = create_multiscale(path, shape, np.uint16, voxel_size_um=(1, 1, 1), levels=1, chunk=chunk)[0]
    tile = vessels((128, 128, 128))
    for place in Region.whole((side,) * 3).pieces(tile.shape):
        level[place.slices] = tile


if __name__ == "__main__":
    main()

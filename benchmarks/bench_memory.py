"""Peak memory of segmenting 256^3 and 512^3 voxels with the same block. Promise: a ratio of at most 1.1.

Each in a fresh child process, from and to zarr in chunks of 64. With the default block both volumes have a
block with margins on all sides; larger blocks of the small volume end at its border and are smaller.

    python benchmarks/bench_memory.py [--block 64] [--checkpoint NAME]
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
    parser.add_argument("--child", nargs=2, metavar=("SOURCE", "OUTPUT"))
    options = parser.parse_args()
    if options.child:
        run(options)
        return
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        for side in (256, 512):
            source, output = Path(folder) / f"{side}.ome.zarr", Path(folder) / f"{side}.labels.ome.zarr"
            make(source, side)
            command = [sys.executable, __file__, *sys.argv[1:], "--child", str(source), str(output)]
            peaks[side] = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            print(f"  {side}^3, block {options.block}: peak {peaks[side] / 1e6:.0f} MB", flush=True)
    print(f"  ratio {peaks[512] / peaks[256]:.3f}")


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

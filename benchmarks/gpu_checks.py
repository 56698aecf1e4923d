"""The checks of docs/gpu-checks.md, on a CUDA machine, in one go.

    python benchmarks/gpu_checks.py --out gpu-results [--shape 1024,1024,1024]

Writes gpu-results/gpu.json and gpu.md. Without a CUDA device it says so and exits with 2.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from bench_throughput import vessels

from napari_vesselkd.blocks import BlockGrid
from napari_vesselkd.checkpoints import CheckpointRegistry
from napari_vesselkd.geometry import Region, Shape, as_shape
from napari_vesselkd.inference import SegmentConfig, segment
from napari_vesselkd.labels import LabelStore
from napari_vesselkd.volume import open_volume, write_multiscale

CHECKPOINT = "student-isotropic"


def labels_of(source: Path, output: Path, **settings: object) -> tuple[np.ndarray, float]:
    """Segment `source` on the GPU; return the labels (z, y, x) and the seconds it took."""
    began = time.perf_counter()
    for _ in segment(source, output, SegmentConfig(checkpoint=CHECKPOINT, device="cuda", **settings)):  # type: ignore[arg-type]
        pass
    torch.cuda.synchronize()
    return np.asarray(LabelStore.open(output).levels[0][:]), time.perf_counter() - began


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * np.count_nonzero(one & other) / max(1, np.count_nonzero(one) + np.count_nonzero(other)))


def raw_forward_rate(shape: Shape) -> float:
    """Return voxels per second of the net alone on resident data, bf16."""
    model = CheckpointRegistry().get(CHECKPOINT).load().cuda().eval()
    x = torch.rand(1, 1, *shape, device="cuda")
    with torch.no_grad(), torch.autocast("cuda", torch.bfloat16):
        model(x)
        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(5):
            model(x)
        torch.cuda.synchronize()
    return 5 * x.numel() / (time.perf_counter() - began)


def read_rate(source: Path, side: int = 256) -> float:
    """Return voxels per second of reading the zarr, block after block."""
    with open_volume(source) as volume:
        grid = BlockGrid(volume.shape, (side,) * 3, (0, 0, 0), (32, 32, 32), Region.whole(volume.shape))
        began = time.perf_counter()
        voxels = sum(volume.read(block.target).size for block in grid)
        return voxels / (time.perf_counter() - began)


def checks(shape: Shape, folder: Path) -> dict[str, float]:
    source = folder / "in.ome.zarr"
    write_multiscale(source, vessels(shape), voxel_size_um=(1, 1, 1))
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    whole, _ = labels_of(source, folder / "whole.ome.zarr", precision="fp32", block=max(shape))
    tiled, _ = labels_of(source, folder / "tiled.ome.zarr", precision="fp32", block=128)
    half, seconds = labels_of(source, folder / "half.ome.zarr", precision="bf16")
    rate = half.size / seconds
    limit = min(raw_forward_rate((256, 256, 256)), read_rate(source))
    return {
        "voxels that differ, tiled against whole, fp32": int(np.count_nonzero(whole != tiled)),
        "Dice of bf16 against fp32": dice(half, whole),
        "Mvoxel/s of segment, bf16": rate / 1e6,
        "share of min(raw forward, zarr read)": rate / limit,
        "GPU memory still held after the runs, MB": (torch.cuda.memory_allocated() - before) / 1e6,
        "peak GPU memory, GB": torch.cuda.max_memory_allocated() / 1e9,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("gpu-results"))
    parser.add_argument("--shape", default="512,512,512")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        print("There is no CUDA device that PyTorch can use: nothing was checked.", file=sys.stderr)
        raise SystemExit(2)
    with tempfile.TemporaryDirectory() as folder:
        found = checks(as_shape([int(n) for n in given.shape.split(",")]), Path(folder))
    given.out.mkdir(parents=True, exist_ok=True)
    record = {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "shape": given.shape,
        **found,
    }
    (given.out / "gpu.json").write_text(json.dumps(record, indent=2) + "\n")
    lines = [f"| {name} | {value} |" for name, value in record.items()]
    (given.out / "gpu.md").write_text("\n".join(["| check | result |", "|---|---|", *lines]) + "\n")
    print((given.out / "gpu.md").read_text())


if __name__ == "__main__":
    main()

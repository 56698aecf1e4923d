"""Phantoms beside real volumes: a PNG to look at and a table of statistics.

    VESSELKD_DATA=folder python benchmarks/phantom_contact_sheet.py sheet.png --count 12 --first-seed 0

Each tile row is: MIP, two single slices, label of the middle slice, label MIP; all in the window from the
minimum to the 99.7th percentile (or another one given with --upper, 95 being what a network sees). Real
volumes come first. Without VESSELKD_DATA only phantoms are shown.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from scipy import ndimage

from napari_vesselkd.phantoms import PhantomConfig, make_phantom

STATISTICS = "fg sat fgmean bgmean noise cnr auc near dice r50 r90 slope dim"
COLUMNS = ("name", *STATISTICS.split())


def window(image: np.ndarray, upper: float) -> np.ndarray:
    """Return (z, y, x) float32 in 0..1 between the minimum and the `upper` percentile."""
    low, high = float(image.min()), float(np.percentile(image, upper))
    return np.clip((image.astype(np.float32) - low) / max(high - low, 1e-9), 0, 1)


def statistics(name: str, image: np.ndarray, label: np.ndarray) -> dict[str, object]:
    """Return the row of the table: all intensities in the p95 window, radii in in-plane voxels."""
    seen, vessel = window(image, 95), label > 0
    if not vessel.any() or vessel.all():
        return {"name": name, "fg": float(vessel.mean())}
    inside, outside = seen[vessel], seen[~ndimage.binary_dilation(vessel, iterations=2)]
    if outside.size < 100:
        outside = seen[~vessel]
    fine = seen - ndimage.median_filter(seen, (1, 3, 3))
    noise = 1.4826 * float(np.median(np.abs(fine[~vessel]))) + 1e-4
    raw = image.astype(np.float64).ravel()
    order = np.argsort(raw, kind="stable")
    sorted_truth = vessel.ravel()[order]
    ranks = np.flatnonzero(sorted_truth).mean()
    positives = int(sorted_truth.sum())
    auc = (ranks - (positives - 1) / 2) / (raw.size - positives)
    above = np.cumsum(sorted_truth[::-1])
    dice = float((2 * above / (np.arange(1, raw.size + 1) + positives)).max())
    depth = np.stack([ndimage.distance_transform_edt(np.pad(s, 1))[1:-1, 1:-1] for s in vessel])
    ridge = depth[(depth == ndimage.maximum_filter(depth, (1, 3, 3))) & (depth > 0)]
    power = np.mean([np.abs(np.fft.fft2(s - s.mean())) ** 2 for s in seen[:: max(1, len(seen) // 6)]], axis=0)
    fy, fx = np.meshgrid(np.fft.fftfreq(power.shape[0]), np.fft.fftfreq(power.shape[1]), indexing="ij")
    radius = np.hypot(fy, fx)
    band = (radius > 0.03) & (radius < 0.35)
    slope = np.polyfit(np.log(radius[band]), np.log(power[band] + 1e-12), 1)[0]
    return {
        "name": name,
        "fg": float(vessel.mean()),
        "sat": float((seen >= 1).mean()),
        "fgmean": float(inside.mean()),
        "bgmean": float(outside.mean()),
        "noise": noise,
        "cnr": float((inside.mean() - outside.mean()) / (outside.std() + 1e-3)),
        "auc": float(auc),
        "dice": dice,
        "r50": float(np.percentile(ridge, 50)),
        "r90": float(np.percentile(ridge, 90)),
        "slope": float(slope),
        "near": near_auc(image, vessel),
        "dim": float((inside < np.percentile(outside, 90)).mean()),
    }


def near_auc(image: np.ndarray, vessel: np.ndarray) -> float:
    """Return how well brightness tells vessels apart from what is within 12 voxels, after flattening."""
    smooth = ndimage.gaussian_filter(image.astype(np.float32), (0.5, 0.7, 0.7))
    outside = (~vessel).astype(np.float32)
    level = ndimage.gaussian_filter(smooth * outside, (1, 12, 12)) / np.maximum(
        ndimage.gaussian_filter(outside, (1, 12, 12)), 1e-3
    )
    flat = smooth - level
    near = ndimage.binary_dilation(vessel, np.ones((1, 3, 3)), iterations=12) & ~vessel
    if not near.any():
        return float("nan")
    values = np.concatenate([flat[vessel], flat[near]])
    order = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    positives = int(vessel.sum())
    return float((order[:positives].mean() - (positives - 1) / 2) / max(values.size - positives, 1))


def real_volumes(folder: Path) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Return the real image and label pairs that are found under `folder`."""
    stacks = folder / "vesselnn_2photon"
    names = sorted(path.name for path in (stacks / "images").glob("*.tif"))
    pairs = [(n.split("_", 1)[1][:-4], stacks / "images" / n, stacks / "labels" / n) for n in names]
    sheet = folder / "vesselexpress_lightsheet"
    pairs.append(("lightsheet", sheet / "image.tif", sheet / "label.tif"))
    return [(n, tifffile.imread(a), tifffile.imread(b)) for n, a, b in pairs if a.exists() and b.exists()]


def tile(image: np.ndarray, label: np.ndarray, upper: float, side: int) -> np.ndarray:
    """Return one row of five pictures as uint8."""
    y, x = ((n - min(n, side)) // 2 for n in image.shape[1:])
    image, label = image[:, y : y + side, x : x + side], label[:, y : y + side, x : x + side] > 0
    grey = np.uint8(255 * window(image, upper))
    third, middle = len(grey) // 4, len(grey) // 2
    pictures = [
        grey.max(0),
        grey[third],
        grey[middle],
        np.uint8(255 * label[middle]),
        np.uint8(255 * label.max(0)),
    ]
    missing = [side - n for n in pictures[0].shape]
    return np.hstack(
        [np.pad(p, [(1, missing[0] + 1), (1, missing[1] + 1)], constant_values=110) for p in pictures]
    )


def quantiles(name: str, rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Return three rows: the least, middle and largest (phantoms: 5, 50, 95 %) of each column."""
    full = [row for row in rows if len(row) > 2]
    shares = (0, 50, 100) if name == "real" else (5, 50, 95)
    return [
        {"name": f"{name}, {share} %", **{c: np.percentile([r[c] for r in full], share) for c in COLUMNS[1:]}}
        for share in shares
        if full
    ]


def print_table(rows: list[dict[str, object]]) -> None:
    print(f"{COLUMNS[0]:28s}" + "".join(f"{c:>8s}" for c in COLUMNS[1:]))
    for row in rows:
        print(f"{row['name']!s:28s}" + "".join(f"{row.get(c, float('nan')):8.3f}" for c in COLUMNS[1:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--shape", default="20,192,192")
    parser.add_argument("--upper", type=float, default=99.7)
    parser.add_argument("--modality", default=None)
    parser.add_argument("--scene", default=None)
    parser.add_argument("--no-real", action="store_true")
    options = parser.parse_args()
    shape = tuple(int(n) for n in options.shape.split(","))
    folder = os.environ.get("VESSELKD_DATA")
    rows, tiles, seconds = [], [], []
    if folder and not options.no_real:
        for name, image, label in real_volumes(Path(folder)):
            rows.append(statistics(name, image, label))
            tiles.append(tile(image, label, options.upper, shape[2]))
    for seed in range(options.first_seed, options.first_seed + options.count):
        config = PhantomConfig(shape=shape, seed=seed, modality=options.modality, scene=options.scene)
        began = time.perf_counter()
        phantom = make_phantom(config)
        seconds.append(time.perf_counter() - began)
        name = f"{seed} {phantom.params['modality'][:5]} {phantom.params['scene']}"
        rows.append(statistics(name, phantom.image, phantom.label))
        tiles.append(tile(phantom.image, phantom.label, options.upper, shape[2]))
    if len(tiles) % 2:
        tiles.append(np.zeros_like(tiles[0]))
    pairs = [np.hstack(tiles[i : i + 2]) for i in range(0, len(tiles), 2)]
    Image.fromarray(np.vstack(pairs)).save(options.output)
    known = len(rows) - options.count
    print_table(rows)
    print_table(quantiles("real", rows[:known]) + quantiles("phantoms", rows[known:]))
    if seconds:
        print(f"seconds per phantom {options.shape}: mean {np.mean(seconds):.2f}, max {max(seconds):.2f}")


if __name__ == "__main__":
    main()

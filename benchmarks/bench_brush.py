"""A stamp of napari's brush on a label volume of 2 Gvoxel: the overlay against raw zarr and numpy.

    python benchmarks/bench_brush.py            all three, each in its own process
    python benchmarks/bench_brush.py overlay    one: overlay, zarr or numpy

Labels 512 x 2048 x 2048 uint8, chunks of 64; napari's own Labels layer and its `paint`, 3D brush of 10 voxels
walking through labels that are there already; no window, as drawing is the same for all three. "journal" is
what the writer thread takes for all that was painted, "new plane" a slice that was not on screen before.
Promise: a stamp in at most 1 ms (median). Times of a busy machine mean little: the ratios are of one run.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SHAPE, CHUNK = (512, 2048, 2048), (64, 64, 64)
STAMPS = {"overlay": 400, "numpy": 400, "zarr": 40}
FILLED = ((192, 896, 896), (320, 1152, 1152))
START = np.array([250.0, 1000.0, 1000.0])


def labels_on_disk(folder):
    """Write labels with vessels in the middle of the volume, nothing elsewhere."""
    import zarr

    array = zarr.create_array(folder / "labels.zarr", shape=SHAPE, chunks=CHUNK, dtype="uint8")
    rng = np.random.default_rng(0)
    array[192:320, 896:1152, 896:1152] = (rng.random((128, 256, 256)) < 0.05).astype(np.uint8)
    return array


def overlay(folder):
    from napari_vesselkd.geometry import Region
    from napari_vesselkd.labels.overlay import Overlay

    array = labels_on_disk(folder)
    return Overlay(lambda box: np.asarray(array[box.slices]), SHAPE, filled=[Region(*FILLED)])


def plain_zarr(folder):
    return labels_on_disk(folder)


def in_memory(folder):
    return np.asarray(labels_on_disk(folder)[...])


def measure(kind):
    from napari.layers import Labels

    folder = Path(tempfile.mkdtemp(prefix="bench-brush-"))
    try:
        data = {"overlay": overlay, "zarr": plain_zarr, "numpy": in_memory}[kind](folder)
        layer = Labels(data)
        layer.n_edit_dimensions, layer.brush_size = 3, 10
        rng, place, times = np.random.default_rng(1), START.copy(), []
        for number in range(STAMPS[kind]):
            place = np.clip(place + rng.normal(0, 3, 3), 20, np.array(SHAPE) - 20)
            began = time.perf_counter()
            layer.paint(place, 1 + number % 2)
            times.append(1e3 * (time.perf_counter() - began))
        began = time.perf_counter()
        _ = np.asarray(data[300, :, :])
        plane = 1e3 * (time.perf_counter() - began)
        late = np.percentile(times, 99)
        print(f"{kind} {np.median(times):.4f} {late:.4f} {plane:.1f} {journalled(kind, data):.2f}")
    finally:
        shutil.rmtree(folder)


def journalled(kind, data):
    """Return the ms that one stroke's way into the journal takes, in the writer thread."""
    if kind != "overlay":
        return float("nan")
    from napari_vesselkd.geometry import Region
    from napari_vesselkd.labels import BlockEdit

    folder = Path(tempfile.mkdtemp(prefix="bench-brush-"))
    edit = BlockEdit.begin(
        folder / "sheet.jsonl", number=0, region=Region.whole(SHAPE), start=None, identity={"project": "p"}
    )
    painted = data.take()
    began = time.perf_counter()
    for one in painted:
        edit.change(one.box, one.after, stroke=1)
    taken = 1e3 * (time.perf_counter() - began)
    edit.close()
    shutil.rmtree(folder)
    return taken


def main():
    rows = {}
    for kind in STAMPS:
        done = subprocess.run(
            [sys.executable, __file__, kind], capture_output=True, text=True, check=True
        ).stdout.split()
        rows[done[0]] = [float(one) for one in done[1:]]
    print(f"Labels {SHAPE} uint8, chunks {CHUNK}; ms")
    print(f"{'':10}{'stamp, median':>15}{'99 %':>10}{'against numpy':>15}{'new plane':>12}{'journal':>10}")
    for kind, (median, late, plane, journal) in rows.items():
        ratio = median / rows["numpy"][0]
        print(f"{kind:10}{median:15.3f}{late:10.2f}{ratio:15.1f}{plane:12.1f}{journal:10.2f}")
    print(f"zarr / overlay: {rows['zarr'][0] / rows['overlay'][0]:.0f} times")


if __name__ == "__main__":
    measure(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1] in STAMPS else main()

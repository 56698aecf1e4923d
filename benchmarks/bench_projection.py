"""Slabs that move, against dask.array.max on the same OME-Zarr.

    python benchmarks/bench_projection.py            all, each in its own process
    python benchmarks/bench_projection.py moves      slice by slice: time, CPU seconds, chunks read
    python benchmarks/bench_projection.py memory     peak memory of the same slabs in 1x and 200x volumes
    python benchmarks/bench_projection.py window     from the slider to the picture in a virtual 400 GB one

Times of a busy machine mean nothing by themselves: the ratios are of one run. `window` needs a display, else
it starts itself under xvfb-run. Chunks: "fewest" are those that the slab touches and no slab before did.
"""

import itertools
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SHAPE, CHUNK = (192, 768, 768), (64, 64, 64)
THICK, MOVES = 32, 60


def volume_at(path, shape=SHAPE, chunk=CHUNK):
    from napari_vesselkd.volume import write_multiscale

    noise = np.random.default_rng(0).integers(90, 4000, (64, 256, 256)).astype(np.uint16)
    tiles = [-(-size // part) for size, part in zip(shape, noise.shape, strict=True)]
    image = np.tile(noise, tiles)[tuple(slice(size) for size in shape)]
    write_multiscale(path, image, voxel_size_um=(1, 1, 1), chunk=chunk, levels=1)


def slabs(axis):
    from napari_vesselkd.geometry import Region

    at = "zyx".index(axis)
    for start in range(10, 10 + MOVES):
        low, high = [0, 0, 0], list(SHAPE)
        low[at], high[at] = start, start + THICK
        yield Region(tuple(low), tuple(high))


def moves(folder):
    import dask.array as da

    from napari_vesselkd.projections import SlabProjector
    from napari_vesselkd.volume import open_volume

    path = folder / "v.ome.zarr"
    volume_at(path)
    with open_volume(path) as volume:
        array = da.from_zarr(volume.levels[0])
        print(f"{MOVES} moves of a slab of {THICK} slices, {SHAPE} uint16, chunks {CHUNK}, full resolution")
        print("axis                 median ms   p99 ms   CPU s   chunks read   fewest")
        for axis in "zyx":
            at = "zyx".index(axis)
            projector = SlabProjector(volume)
            ours = timed(lambda region, p=projector, a=axis: p.project(region, a).image, slabs(axis))
            dask = timed(lambda region, at=at: array[region.slices].max(axis=at).compute(), slabs(axis))
            for one, other in zip(ours["images"], dask["images"], strict=True):
                assert np.array_equal(one, other)
            fewest, touched = chunk_counts(axis)
            report(f"{axis} this engine", ours, projector.chunks_read, fewest)
            report(f"{axis} dask.array.max", dask, touched, fewest)
            warm = [np.median(result["seconds"]) for result in (dask, ours)]
            print(
                f"{axis} dask / ours: {dask['cpu'] / ours['cpu']:.1f} CPU, {warm[0] / warm[1]:.1f} median\n"
            )


def timed(project, regions):
    seconds, images, cpu = [], [], time.process_time()
    for region in regions:
        start = time.perf_counter()
        image = project(region)
        seconds.append(time.perf_counter() - start)
        images.append(image[::16, ::16].copy())
    return {"seconds": seconds, "images": images, "cpu": time.process_time() - cpu}


def chunk_counts(axis):
    seen, touched = set(), 0
    for region in slabs(axis):
        boxes = {box.start for box in region.aligned(CHUNK).pieces(CHUNK)}
        touched += len(boxes)
        seen |= boxes
    return len(seen), touched


def report(name, result, chunks, fewest):
    milliseconds = np.array(result["seconds"]) * 1000
    median, late = np.percentile(milliseconds, 50), np.percentile(milliseconds, 99)
    print(f"{name:18}{median:12.1f}{late:9.1f}{result['cpu']:8.2f}{chunks:14}{fewest:9}")


def memory(_folder):
    sizes = {}
    for name in ("small", "huge"):
        done = subprocess.run(
            [sys.executable, __file__, f"_memory_{name}"], capture_output=True, text=True, check=True
        )
        sizes[name] = float(done.stdout.split()[-1])
    print("peak memory of 40 slabs of 32 x 2000 x 2000 voxels, read and thrown away")
    print(f"volume of 2 GB: {sizes['small']:.0f} MB; of 400 GB: {sizes['huge']:.0f} MB; ", end="")
    print(f"ratio {sizes['huge'] / sizes['small']:.2f}")


def peak(shape):
    from napari_vesselkd.geometry import Region
    from napari_vesselkd.projections import SlabProjector
    from napari_vesselkd.volume import create_multiscale, open_volume

    folder = Path(tempfile.mkdtemp(prefix="bench-projection-"))
    try:
        create_multiscale(folder / "v.ome.zarr", shape, "uint8", voxel_size_um=(1, 1, 1), chunk=(128,) * 3)
        with open_volume(folder / "v.ome.zarr") as volume:
            projector = SlabProjector(volume)
            for step in range(40):
                start = step * (shape[0] - THICK) // 39
                projector.project(Region((start, 0, 0), (start + THICK, 2000, 2000)))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def window(folder):
    from bench_viewer import Heart, huge, settle, wait, wait_until
    from bench_viewer import window as open_window

    from napari_vesselkd.plugin.looking.shots import Shot
    from napari_vesselkd.volume import open_levels

    path = huge(folder)
    rng = np.random.default_rng(0)
    for level, array in enumerate(itertools.islice(open_levels(path), 3)):
        low = [place >> level for place in (1920, 4480, 4480)]
        shape = [size >> level for size in (384, 1024, 1024)]
        array[tuple(slice(a, a + n) for a, n in zip(low, shape, strict=True))] = rng.integers(
            0, 255, shape, dtype=np.uint8
        )
    viewer, dock, _ = open_window()
    viewer.open(str(path), plugin="napari-vesselkd")
    viewer.dims.set_point(0, 2000)
    viewer.scene.camera.center = (0, 4992, 4992)
    viewer.scene.camera.zoom = 1.0
    dock.show_tab("Look")
    look = dock.look.projections
    wait(1)
    settle(dock)
    wait_until(lambda: look.settled)
    first, refined, asked = [], [], [0.0, True]

    def receive(report):
        if isinstance(report, Shot) and asked[1]:
            first.append(time.perf_counter() - asked[0])
            asked[1] = False

    look.latest.reported.connect(receive)
    spent = {name: timed_calls(look, name) for name in ("_moved", "_show", "_paint", "_paint_cursor")}
    spent["paintEvent"] = timed_calls(look.picture, "paintEvent")
    heart = Heart()
    for step in range(MOVES):
        asked[:] = [time.perf_counter(), True]
        look.form.slider.setValue(2000 + step)
        wait_until(lambda: look.settled)
        refined.append(time.perf_counter() - asked[0])
    heart.stop()
    print(f"virtual 400 GB OME-Zarr, view {look.projection.region}, {MOVES} moves of the slider by a slice")
    for name, seconds in (("first picture", first), ("full resolution", refined)):
        median, late = np.percentile(np.array(seconds) * 1000, [50, 99])
        print(f"{name:18} median {median:7.1f} ms   p99 {late:7.1f} ms")
    beats = [heart.percentile(share) for share in (0.5, 0.99, 1.0)]
    print("event-loop latency while it moves: median {:.1f}, p99 {:.1f}, most {:.1f} ms".format(*beats))
    for name, seconds in spent.items():
        median, most = np.percentile(np.array(seconds) * 1000, [50, 100])
        times = f"median {median:5.1f} ms   most {most:5.1f} ms   {len(seconds)} times"
        print(f"GUI thread, CPU of one {name:14} {times}")
    print(f"chunks read: {look.layers.sources().projector.chunks_read}")
    viewer.close()


def timed_calls(owner, name):
    """Return a list that gets the CPU seconds of each call of a method."""
    seconds, original = [], getattr(owner, name)

    def measured(*arguments):
        start = time.thread_time()
        original(*arguments)
        seconds.append(time.thread_time() - start)

    setattr(owner, name, measured)
    if name in ("_moved", "_show"):
        signal = owner.form.moved if name == "_moved" else owner.latest.reported
        signal.disconnect(original)
        signal.connect(measured)
    return seconds


def main(argument):
    folder = Path(tempfile.mkdtemp(prefix="bench-projection-"))
    try:
        {
            "moves": moves,
            "memory": memory,
            "window": window,
            "_memory_small": lambda _: peak((512, 2048, 2048)),
            "_memory_huge": lambda _: peak((4096, 10_000, 10_000)),
        }[argument](folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    wanted = sys.argv[1:]
    if {"-h", "--help"} & {*wanted}:
        sys.exit(__doc__)
    if wanted == ["window"] and not os.environ.get("DISPLAY") and sys.platform == "linux":
        xvfb = shutil.which("xvfb-run")
        if xvfb is None:
            sys.exit("No display and no xvfb-run: install xvfb")
        screen = ["-a", "-s", "-screen 0 1600x1000x24"]
        sys.exit(subprocess.run([xvfb, *screen, sys.executable, *sys.argv], check=False).returncode)
    if not wanted:
        for each in ("moves", "memory", "window"):
            subprocess.run([sys.executable, __file__, each], check=True)
            print(flush=True)
    else:
        main(wanted[0])

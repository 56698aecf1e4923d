"""The viewer's promises: it stays fluid while it segments, and opens what does not fit into memory.

    python benchmarks/bench_viewer.py            all three, each in its own process
    python benchmarks/bench_viewer.py latency    event-loop latency while segmenting, against idle
    python benchmarks/bench_viewer.py open       opening a virtual 400 GB OME-Zarr, against raw zarr
    python benchmarks/bench_viewer.py first      time to the first prediction in it, in block times

Needs a display; without one it starts itself under xvfb-run, whose software rendering is part of both sides
of each ratio. Promises: 99th percentile at most 50 ms above idle; 3 s and 1 GB; 3 block times.
"""

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HUGE = (4096, 10_000, 10_000)
CHUNK = (128, 128, 128)
BEAT_MS = 5
IDLE_S = 15


def window():
    import napari
    from qtpy.QtWidgets import QApplication

    viewer = napari.Viewer(show=True)
    viewer.window._qt_window.resize(1280, 800)
    _, dock = viewer.window.add_plugin_dock_widget("napari-vesselkd", "VesselKD")
    wait(1.5)
    return viewer, dock, QApplication.instance()


def wait(seconds):
    from qtpy.QtCore import QEventLoop, QTimer

    loop = QEventLoop()
    QTimer.singleShot(round(seconds * 1000), loop.quit)
    loop.exec()


def wait_until(condition, limit=300):
    end = time.perf_counter() + limit
    while not condition():
        if time.perf_counter() > end:
            raise TimeoutError
        wait(0.02)


class Heart:
    """A timer that should beat every `BEAT_MS`; what it is late by is the event loop's latency."""

    def __init__(self):
        from qtpy.QtCore import Qt, QTimer

        self.late, self.last = [], time.perf_counter()
        self.timer = QTimer()
        self.timer.setTimerType(Qt.TimerType.PreciseTimer)
        self.timer.timeout.connect(self.beat)
        self.timer.start(BEAT_MS)

    def beat(self):
        now = time.perf_counter()
        self.late.append(max(0.0, (now - self.last) * 1000 - BEAT_MS))
        self.last = now

    def stop(self):
        self.timer.stop()
        return self

    def percentile(self, share):
        return sorted(self.late)[min(len(self.late) - 1, int(share * len(self.late)))]


def settle(dock):
    tab = dock.segment
    wait_until(
        lambda: (
            not tab._estimate_timer.isActive()
            and not tab._estimate.busy
            and not (tab._estimating and tab._estimating.running)
        )
    )


def latency(folder):
    import numpy as np

    from napari_vesselkd.phantoms import PhantomConfig, make_phantom
    from napari_vesselkd.volume import write_multiscale

    phantom = make_phantom(PhantomConfig(shape=(96, 256, 256), seed=1, voxel_size_um=(2.0, 1.0, 1.0)))
    write_multiscale(folder / "in.ome.zarr", np.tile(phantom.image, (2, 2, 2)), voxel_size_um=(2, 1, 1))
    viewer, dock, _ = window()
    viewer.open(str(folder / "in.ome.zarr"), plugin="napari-vesselkd")
    dock.segment.form.region.choice.button("Whole").click()
    dock.segment.form.output.setText(str(folder / "out.ome.zarr"))
    dock.segment.form.block.setValue(64)
    settle(dock)
    wait(2)
    heart = Heart()
    wait(IDLE_S)
    idle = heart.stop()
    heart = Heart()
    dock.segment.panel.run.click()
    wait_until(lambda: not dock.segment.state.phase.active)
    busy = heart.stop()
    print("event-loop latency, ms       median     p95     p99     max   beats")
    for name, beats in (("idle viewer", idle), ("while segmenting", busy)):
        numbers = [beats.percentile(share) for share in (0.5, 0.95, 0.99, 1.0)]
        print(f"{name:24}" + "".join(f"{value:9.1f}"[:10] for value in numbers) + f"{len(beats.late):8}")
    extra = busy.percentile(0.99) - idle.percentile(0.99)
    progress = dock.segment.state.progress
    print(
        f"p99 above idle: {extra:.1f} ms (promise: at most 50); "
        f"{progress.total} blocks of 64, {progress.rate:.1f}/s"
    )
    viewer.close()


def huge(folder):
    from napari_vesselkd.volume import create_multiscale

    path = folder / "huge.ome.zarr"
    create_multiscale(path, HUGE, "uint8", voxel_size_um=(1, 1, 1), chunk=CHUNK)
    return path


def open_huge(folder, raw):
    import psutil

    path = huge(folder)
    viewer, _, app = window()
    before = psutil.Process().memory_info().rss
    start, cpu = time.perf_counter(), time.process_time()
    if raw:
        from napari_vesselkd.volume import open_levels

        viewer.add_image(list(open_levels(path)), multiscale=True, contrast_limits=(0, 255))
    else:
        viewer.open(str(path), plugin="napari-vesselkd")
    app.processEvents()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    rss = psutil.Process().memory_info().rss
    print(f"{seconds:.2f} {cpu:.2f} {rss / 1e9:.2f} {(rss - before) / 1e9:.2f}")
    viewer.close()


def opening(folder):
    results = {}
    for kind in ("raw", "ours"):
        done = subprocess.run(
            [sys.executable, __file__, f"_open_{kind}"], capture_output=True, text=True, check=True
        )
        results[kind] = [float(word) for word in done.stdout.split()[-4:]]
    print("opening a virtual 400 GB OME-Zarr    wall s   CPU s   RSS GB   added GB")
    for name, kind in (("napari, raw zarr arrays", "raw"), ("our reader, dock open", "ours")):
        wall, cpu, rss, added = results[kind]
        print(f"{name:34}{wall:9.2f}{cpu:8.2f}{rss:9.2f}{added:11.2f}")
    wall, cpu, rss, _ = results["ours"]
    ratio = cpu / results["raw"][1]
    print(f"ours / raw, CPU seconds: {ratio:.2f}; {wall:.2f} s (promise: 3), {rss:.2f} GB (promise: 1)")


def first(folder):
    import numpy as np

    from napari_vesselkd.volume import open_levels

    path = huge(folder)
    level = open_levels(path)[0]
    rng = np.random.default_rng(0)
    level[1920:2304, 4736:5376, 4736:5376] = rng.integers(0, 255, (384, 640, 640), dtype=np.uint8)
    viewer, dock, _ = window()
    viewer.open(str(path), plugin="napari-vesselkd")
    viewer.dims.set_current_step(0, 2100)
    viewer.scene.camera.center = (0, 5050, 5050)
    viewer.scene.camera.zoom = 1.5
    dock.segment.form.region.choice.button("View").click()
    dock.segment.form.output.setText(str(folder / "out.ome.zarr"))
    wait(1)
    settle(dock)
    seconds = []
    start = time.perf_counter()
    dock.segment.panel.run.click()
    dock.segment._task.reported.connect(
        lambda report: seconds.append(report.seconds) if hasattr(report, "region") else None
    )
    wait_until(lambda: dock.segment.labels is not None and seconds)
    shown = time.perf_counter() - start
    wait_until(lambda: not dock.segment.state.phase.active)
    steps = [after - before for before, after in itertools.pairwise(seconds)] or seconds
    block = max(steps)
    view = dock.segment.form.region.region()
    print(f"first prediction in a virtual 400 GB OME-Zarr, view of {view.size / 1e6:.1f} Mvoxels")
    print(f"on screen after {shown:.2f} s, of which the engine {seconds[0]:.2f} s; ", end="")
    print(f"one block takes {block:.2f} s ({len(seconds)} blocks)")
    print(f"first prediction / block time: {shown / block:.1f} (promise: 3)")
    viewer.close()


def main(argument):
    folder = Path(tempfile.mkdtemp(prefix="bench-viewer-"))
    try:
        {
            "latency": latency,
            "open": opening,
            "first": first,
            "_open_raw": lambda place: open_huge(place, raw=True),
            "_open_ours": lambda place: open_huge(place, raw=False),
        }[argument](folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    if not os.environ.get("DISPLAY") and sys.platform == "linux":
        xvfb = shutil.which("xvfb-run")
        if xvfb is None:
            sys.exit("No display and no xvfb-run: install xvfb")
        screen = ["-a", "-s", "-screen 0 1600x1000x24"]
        sys.exit(subprocess.run([xvfb, *screen, sys.executable, *sys.argv], check=False).returncode)
    wanted = sys.argv[1:]
    if not wanted:
        for each in ("latency", "open", "first"):
            subprocess.run([sys.executable, __file__, each], check=True)
            print(flush=True)
    else:
        main(wanted[0])

"""How much faster the student is than its teacher, per voxel of a whole volume, and per patch of 64^3.

Promise (one GPU): 100 times. The paper compares one pass on 64^3: 22.63 ms against 2.49 ms, 9.1 times. The
whole-volume ratio is larger, because the teacher works in windows with half an overlap (eight passes per
voxel), the student in large blocks. On a CPU: CPU seconds of one process and one thread, raw voxels in
memory to labels in memory; on a GPU: seconds.

    python benchmarks/bench_student_teacher.py [--device cuda] [--shape 256,256,256] [--feature-size 48]

Speed does not depend on the weights: the teachers' are drawn at random.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from bench_throughput import in_blocks, vessels

from napari_vesselkd.checkpoints import CheckpointRegistry
from napari_vesselkd.checkpoints.calibration import calibrate
from napari_vesselkd.geometry import Region, as_shape
from napari_vesselkd.inference import SegmentConfig
from napari_vesselkd.inference.devices import choose_backend
from napari_vesselkd.inference.windows import WindowPredictor
from napari_vesselkd.models.teacher import Teacher, TeacherConfig
from napari_vesselkd.volume import measure_intensity_window, volume_from_arrays

STUDENT = "student-isotropic"


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)
    clock = time.process_time if options.device == "cpu" else time.perf_counter
    shape = as_shape([int(side) for side in options.shape.split(",")])
    print(f"{options.device}, {options.precision}, one thread, student on {'x'.join(map(str, shape))}")
    student = student_rate(shape, options, clock)
    print(f"  student {STUDENT}: {student:9.4f} Mvoxel/s whole volume")
    for network in options.networks.split(","):
        size = options.feature_size if network != "segresnet" else 12
        whole, patch, plain = teacher_rates(network, size, options, clock)
        print(
            f"  teacher {network} {size}: {whole:9.4f} Mvoxel/s whole volume, student "
            f"{student / whole:.0f}x; one 64^3 patch {patch * 1e3:.1f} ms against {plain * 1e3:.1f} ms: "
            f"{patch / plain:.1f}x"
        )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--shape", default="256,256,256")
    parser.add_argument("--feature-size", type=int, default=48)
    parser.add_argument("--networks", default="swin_unetr,segresnet")
    return parser.parse_args()


def student_rate(shape, options, clock) -> float:
    """Return Mvoxel per second of the student, in one block of the volume's size."""
    checkpoint = CheckpointRegistry().get(STUDENT)
    model, raw = checkpoint.load(), vessels(shape)
    volume = volume_from_arrays([raw], voxel_size_um=(1, 1, 1), name="phantom")
    window = measure_intensity_window(volume)
    calibrate(model, volume, window, stride=model.total_stride, padding=checkpoint.card.padding)
    settings = SegmentConfig(
        checkpoint=STUDENT,
        device=options.device,
        precision=options.precision,
        block=min(256, *shape),
        threads=1,
    )
    seconds = timed(lambda: in_blocks(model, checkpoint.card, volume, window, settings), clock)
    return raw.size / seconds / 1e6


def teacher_rates(network, size, options, clock) -> tuple[float, float, float]:
    """Return Mvoxel/s over a core far from any border, and seconds per plain 64^3 pass of it and the student.

    Each window is shared by the blocks around it within a large volume, so what a core of two half windows
    along each axis takes on its own, 27 windows, is counted as the 8 that it costs there.
    """
    model = Teacher(TeacherConfig(network=network, feature_size=size)).eval()
    backend = choose_backend(options.device, options.precision)
    predictor = WindowPredictor(model, 1.0, backend, threads=1)
    side = predictor.side
    core = Region((side,) * 3, (2 * side,) * 3)
    halo = side // 2
    voxels = np.random.default_rng(0).random((side + 2 * halo,) * 3, np.float32)
    plan = predictor.plan((3 * side,) * 3, core, (halo,) * 3)
    student = CheckpointRegistry().get(STUDENT).load().eval().to(options.device)
    patch = torch.rand(1, 1, side, side, side, device=options.device)
    with torch.inference_mode():
        plain = min(timed(lambda: student(patch), clock) for _ in range(5))
        model(patch)
        alone = min(timed(lambda: model(patch), clock) for _ in range(2))
    seconds = timed(lambda: predictor.logits(voxels, voxels, plan), clock)
    return side**3 / (seconds * 8 / 27) / 1e6, alone, plain


def timed(work: Callable[[], object], clock: Callable[[], float]) -> float:
    """Return the seconds that `work` takes."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = clock()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return clock() - start


if __name__ == "__main__":
    main()

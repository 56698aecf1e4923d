"""What the Segment tab shows, computed without Qt.

`Form` is what the user chose, `Estimate` what the pre-flight said, `RunState` how far the run is; `draw`
turns the three into a `Picture`, which the tab paints. Nothing here imports Qt or napari.

Notation: regions and shapes are (z, y, x) voxels; voxel sizes are (z, y, x) in um.
"""

import os
import re
import shlex
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from napari_vesselkd.geometry import Region, Shape, VoxelSize
from napari_vesselkd.plugin.failure import Failure
from napari_vesselkd.plugin.visible import describe_region
from napari_vesselkd.reports import Progress

SOURCE_ENDINGS = (
    ".ome.zarr", ".zarr", ".ome.tif", ".ome.tiff", ".tif", ".tiff", ".nii.gz", ".nii", ".h5", ".hdf5", ".mha",
    ".mhd", ".nrrd",
)  # fmt: skip
OUTPUT_ENDINGS = (".ome.zarr", ".tif", ".tiff", ".nii.gz", ".nii")
MEMORY_FOLDER = "vesselkd"


class Where(Enum):
    """Which part of the volume is segmented."""

    VIEW = "View"
    BOX = "Box"
    WHOLE = "Whole"


class Phase(Enum):
    """Where the run is in its life."""

    IDLE = "idle"
    STARTING = "starting"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    FINISHED = "finished"
    FAILED = "failed"

    @property
    def active(self) -> bool:
        return self in (Phase.STARTING, Phase.RUNNING, Phase.PAUSING, Phase.PAUSED, Phase.CANCELLING)


@dataclass(frozen=True)
class Chosen:
    """The volume that was chosen, as far as the tab shows it."""

    name: str
    shape: Shape
    dtype: str
    voxel_size_um: VoxelSize
    voxel_size_known: bool
    path: Path | None = None
    channel: int = 0
    levels: int = 1
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Form:
    """What the user chose."""

    chosen: Chosen | None = None
    refusal: str | None = None
    checkpoint: str = "auto"
    where: Where = Where.VIEW
    region: Region | None = None
    output: str = ""
    device: str = "auto"
    precision: str = "auto"
    threshold: float | None = None
    block: int | None = None
    halo: int | None = None
    upper_percentile: float | None = None
    probability: bool = False
    restart: bool = False


@dataclass(frozen=True)
class Estimate:
    """What the pre-flight said about a form."""

    text: str = ""
    checkpoint_text: str = ""
    problem: str | None = None
    busy: bool = False


@dataclass(frozen=True)
class RunState:
    """How far the run is."""

    phase: Phase = Phase.IDLE
    progress: Progress | None = None
    notices: tuple[str, ...] = ()
    failure: Failure | None = None
    result: str = ""


@dataclass(frozen=True)
class Button:
    """A button: enabled, or disabled with the reason."""

    text: str
    enabled: bool
    tooltip: str


@dataclass(frozen=True)
class Picture:
    """Everything the tab paints that is not an input."""

    volume_text: str
    checkpoint_text: str
    region_text: str
    output_text: str
    output_is_problem: bool
    estimate_text: str
    estimate_is_problem: bool
    run: Button
    pause: Button
    cancel: Button
    reason: str
    bar_visible: bool
    bar_permille: int | None
    bar_text: str
    notices: tuple[str, ...]
    failure: Failure | None
    result: str
    command: str
    command_is_complete: bool
    inputs_enabled: bool


def draw(form: Form, estimate: Estimate, run: RunState) -> Picture:
    """Return what the tab shows."""
    reason = why_not_run(form, estimate, run)
    output_problem = check_output(form)
    command, complete = command_line(form)
    active = run.phase.active
    return Picture(
        volume_text=describe_volume(form),
        checkpoint_text=estimate.checkpoint_text,
        region_text=describe_region(form.region) if form.region else "",
        output_text=output_problem or ("" if active else _output_fact(form)),
        output_is_problem=output_problem is not None,
        estimate_text=_estimate_text(form, estimate),
        estimate_is_problem=estimate.problem is not None,
        run=Button("Run", not reason, reason or "Segment the region; results appear block by block"),
        pause=_pause_button(run.phase),
        cancel=_cancel_button(run.phase),
        reason="" if active else reason,
        bar_visible=run.phase is not Phase.IDLE,
        bar_permille=_permille(run),
        bar_text=describe_progress(run),
        notices=(*(form.chosen.notices if form.chosen else ()), *run.notices),
        failure=run.failure,
        result=run.result,
        command=command,
        command_is_complete=complete,
        inputs_enabled=not active,
    )


def why_not_run(form: Form, estimate: Estimate, run: RunState) -> str:
    """Return why Run is disabled; empty where it is not."""
    if run.phase.active:
        return "A segmentation is running"
    if form.refusal:
        return form.refusal
    if form.chosen is None:
        return "Open a volume first: File > Open, or File > Open Sample > VesselKD"
    if form.region is None or form.region.size == 0:
        if form.where is Where.VIEW:
            return "Nothing of this volume is on screen: move the view over it, or choose Whole"
        return "The box is empty: make its stop larger than its start"
    return check_output(form) or estimate.problem or ""


def check_output(form: Form) -> str | None:
    """Return what is wrong with the output path, or None."""
    if form.chosen is None:
        return None
    text = form.output.strip()
    if not text:
        return "Name an output"
    path = Path(text).expanduser()
    if not path.name.lower().endswith(OUTPUT_ENDINGS):
        return f"Unknown ending: {path.name} (allowed: {', '.join(OUTPUT_ENDINGS)})"
    if form.chosen.path is not None and path.absolute() == form.chosen.path.absolute():
        return "The output is the volume itself; choose another name"
    folder = nearest_folder(path)
    if not os.access(folder, os.W_OK):
        return f"No permission to write in {folder}; choose another folder"
    return None


def nearest_folder(path: Path) -> Path:
    """Return the closest folder above `path` that exists."""
    folder = path.absolute().parent
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder


def default_output(chosen: Chosen) -> Path:
    """Return where the result goes by default: beside the volume if that can be written, else at home."""
    home = Path.home() / MEMORY_FOLDER
    if chosen.path is None:
        stem = re.sub(r"[^\w.-]+", "-", chosen.name).strip("-.") or "volume"
        return home / f"{stem}-vessels.ome.zarr"
    stem = chosen.path.name
    ending = next((e for e in SOURCE_ENDINGS if stem.lower().endswith(e)), "")
    stem = stem[: len(stem) - len(ending)]
    channel = f"-c{chosen.channel}" if chosen.channel else ""
    name = f"{stem}{channel}-vessels.ome.zarr"
    beside = chosen.path.absolute().parent
    return (beside if os.access(beside, os.W_OK) else home) / name


def describe_volume(form: Form) -> str:
    """Return ``96 × 256 × 256 · uint16 · 3 × 1.6 × 1.6 µm``."""
    if form.refusal:
        return form.refusal
    if form.chosen is None:
        return "No image layer is open."
    chosen = form.chosen
    shape = " × ".join(str(size) for size in chosen.shape)
    millimetres = chosen.voxel_size_known and min(chosen.voxel_size_um) >= 100
    size = " × ".join(f"{value / (1000 if millimetres else 1):.3g}" for value in chosen.voxel_size_um)
    unit = ("mm" if millimetres else "µm") if chosen.voxel_size_known else "(voxel size not known)"
    levels = f" · {chosen.levels} levels" if chosen.levels > 1 else ""
    return f"{shape} · {chosen.dtype} · {size} {unit}{levels}"


def command_line(form: Form) -> tuple[str, bool]:
    """Return the equivalent command line, and whether it can be run as it is."""
    if form.chosen is None:
        return "", False
    complete = form.chosen.path is not None
    source = str(form.chosen.path) if complete else "SOURCE"
    words = ["vesselkd", "segment", source, str(Path(form.output.strip() or "OUTPUT.ome.zarr").expanduser())]
    words += ["--channel", str(form.chosen.channel)] if form.chosen.channel else []
    words += ["--checkpoint", form.checkpoint] if form.checkpoint != "auto" else []
    if form.region is not None and form.region != Region.whole(form.chosen.shape):
        words += ["--region", str(form.region)]
    options = {
        "--device": form.device if form.device != "auto" else None,
        "--precision": form.precision if form.precision != "auto" else None,
        "--threshold": form.threshold,
        "--block": form.block,
        "--halo": form.halo,
    }
    for name, value in options.items():
        words += [name, str(value)] if value is not None else []
    if form.upper_percentile is not None:
        words += ["--set", f"upper={form.upper_percentile:g}"]
    words += ["--probability"] if form.probability else []
    words += ["--restart"] if form.restart else []
    return shlex.join(words), complete


def describe_progress(run: RunState) -> str:
    """Return the text under the progress bar: counts, rate and time left."""
    names = {
        Phase.STARTING: "Starting…",
        Phase.PAUSING: "Pausing after this block…",
        Phase.PAUSED: "Paused",
        Phase.CANCELLING: "Cancelling after this block…",
        Phase.CANCELLED: "Cancelled; Run goes on where it stopped",
        Phase.FINISHED: "Finished",
        Phase.FAILED: "Stopped by an error",
    }
    parts = [names[run.phase]] if run.phase in names else []
    if run.progress is not None and run.progress.total:
        moving = run.phase in (Phase.RUNNING, Phase.PAUSING, Phase.CANCELLING)
        parts += describe_progress_of(run.progress, ended=not moving, finished=run.phase is Phase.FINISHED)
    return " · ".join(parts)


def describe_progress_of(progress: Progress, *, ended: bool, finished: bool) -> list[str]:
    """Return ``12 of 30 blocks`` with what it took, or with the rate and the time left."""
    parts = [f"{progress.done} of {progress.total} {progress.unit}"]
    if finished:
        parts.append(f"in {duration(progress.seconds)}")
    elif not ended and progress.rate > 0:
        parts += [rate(progress), f"{duration(progress.seconds_left or 0.0)} left"]
    return parts


def duration(seconds: float) -> str:
    """Return ``8 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def rate(progress: Progress) -> str:
    """Return ``2.3 blocks/s``, or ``14 s per block`` where that reads better."""
    if progress.rate >= 0.5:
        return f"{progress.rate:.2g} {progress.unit}/s"
    return f"{duration(1 / progress.rate)} per {progress.unit.removesuffix('s')}"


def _output_fact(form: Form) -> str:
    if form.chosen is None or not form.output.strip():
        return ""
    path = Path(form.output.strip()).expanduser()
    if not path.exists():
        return ""
    if form.restart:
        return "Exists: it will be replaced."
    return "Exists: finished blocks are kept, this region is added."


def _estimate_text(form: Form, estimate: Estimate) -> str:
    if form.chosen is None or form.region is None:
        return ""
    if estimate.problem:
        return estimate.problem
    return "Estimating…" if estimate.busy and not estimate.text else estimate.text


def _pause_button(phase: Phase) -> Button:
    if phase is Phase.PAUSED:
        return Button("Go on", True, "Go on with the next block")
    if phase is Phase.RUNNING:
        return Button("Pause", True, "Hold after this block")
    return Button(
        "Pause", False, "Nothing is running" if not phase.active else phase.value.capitalize() + "…"
    )


def _cancel_button(phase: Phase) -> Button:
    if phase is Phase.CANCELLING:
        return Button("Cancel", False, "Cancelling after this block…")
    if phase.active:
        return Button("Cancel", True, "Stop within one block; what is finished is kept")
    return Button("Cancel", False, "Nothing is running")


def _permille(run: RunState) -> int | None:
    if run.phase is Phase.FINISHED:
        return 1000
    if run.progress is None or not run.progress.total:
        return None if run.phase.active else 0
    return round(1000 * run.progress.done / run.progress.total)

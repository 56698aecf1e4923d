"""What the Segment tab shows, computed without Qt.

`Form` is what the user chose, `Estimate` what the pre-flight said, `RunState` how far the run is; `draw`
turns the three into a `Picture`, which the tab paints. Nothing here imports Qt or napari.

Notation: regions and shapes are (z, y, x) voxels; voxel sizes are (z, y, x) in um.
"""

import os
import shlex
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from napari_vesselkd.geometry import Region, Shape, VoxelSize
from napari_vesselkd.plugin.chosen_volume import Chosen, describe_chosen, nearest_folder
from napari_vesselkd.plugin.failure import Failure
from napari_vesselkd.plugin.progress_text import describe_progress_of
from napari_vesselkd.plugin.visible import describe_region
from napari_vesselkd.reports import Progress

OUTPUT_ENDINGS = (".ome.zarr", ".tif", ".tiff", ".nii.gz", ".nii")


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
class Target:
    """The project that labels can be written into.

    Attributes
    ----------
    path : Path
    current : str
        Its checkpoint, "auto" before any promotion.
    corrections : int
        Accepted blocks, which stay on top of every prediction.
    """

    path: Path
    current: str = "auto"
    corrections: int = 0


@dataclass(frozen=True)
class Form:
    """What the user chose.

    Attributes
    ----------
    region : Region or None
        In voxels of level 0, whatever `level` is.
    target : Target or None
        The project to write into; None writes to `output`.
    project_open : bool
        Whether the volume is the image of the open project.
    """

    chosen: Chosen | None = None
    refusal: str | None = None
    checkpoint: str = "auto"
    where: Where = Where.VIEW
    region: Region | None = None
    level: int = 0
    target: Target | None = None
    project_open: bool = False
    output: str = ""
    device: str = "auto"
    precision: str = "auto"
    threshold: float | None = None
    block: int | None = None
    halo: int | None = None
    upper_percentile: float | None = None
    probability: bool = False
    restart: bool = False

    @property
    def shape(self) -> Shape:
        """Shape of the level that is worked on."""
        return (1, 1, 1) if self.chosen is None else self.chosen.shape_at(self.level)

    @property
    def level_region(self) -> Region | None:
        """`region` in voxels of `level`."""
        return self.region if self.chosen is None else self.chosen.region_at(self.region, self.level)


@dataclass(frozen=True)
class Estimate:
    """What the pre-flight said about a form.

    Attributes
    ----------
    again : str
        Why the region is segmented again (the project has another checkpoint now); empty where it is not.
    """

    text: str = ""
    checkpoint_text: str = ""
    again: str = ""
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
    voxel_size_um: VoxelSize | None
    size_visible: bool
    size_locked: str
    level_visible: bool
    into_visible: bool
    output_visible: bool
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
        voxel_size_um=form.chosen.voxel_size_um if form.chosen and form.chosen.voxel_size_known else None,
        size_visible=form.chosen is not None,
        size_locked=_why_not_resize(form, run),
        level_visible=form.chosen is not None and form.chosen.levels > 1 and form.target is None,
        into_visible=form.project_open,
        output_visible=form.target is None,
        checkpoint_text=estimate.checkpoint_text,
        region_text=describe_region(form.region) if form.region else "",
        output_text=output_problem or ("" if active and form.target is None else _output_fact(form)),
        output_is_problem=output_problem is not None,
        estimate_text=_estimate_text(form, estimate),
        estimate_is_problem=estimate.problem is not None,
        run=_run_button(estimate, reason),
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
    if form.chosen is None or form.target is not None:
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


def describe_volume(form: Form) -> str:
    """Return the facts of the volume, or why there is none."""
    if form.refusal:
        return form.refusal
    return describe_chosen(form.chosen) if form.chosen is not None else "No image layer is open."


def command_line(form: Form) -> tuple[str, bool]:
    """Return the equivalent command line, and whether it can be run as it is."""
    if form.chosen is None:
        return "", False
    complete = form.chosen.path is not None
    source = str(form.chosen.path) if complete else "SOURCE"
    output = form.target.path if form.target is not None else form.output.strip() or "OUTPUT.ome.zarr"
    words = ["vesselkd", "segment", source, str(Path(output).expanduser())]
    words += ["--channel", str(form.chosen.channel)] if form.chosen.channel else []
    if form.chosen.size_typed:
        words += ["--voxel-size", ",".join(f"{size:g}" for size in form.chosen.voxel_size_um)]
    words += ["--checkpoint", form.checkpoint] if form.checkpoint != "auto" else []
    words += ["--level", str(form.level)] if form.level else []
    region = form.level_region
    if region is not None and region != Region.whole(form.shape):
        words += ["--region", str(region)]
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


def _why_not_resize(form: Form, run: RunState) -> str:
    if form.project_open:
        return "The project was made with this voxel size"
    if run.phase.active:
        return "A segmentation is running"
    if form.chosen is not None and form.chosen.tilted:
        return "The layer is rotated or sheared: its transform says the voxel size"
    return ""


def _run_button(estimate: Estimate, reason: str) -> Button:
    text = "Segment again" if estimate.again else "Run"
    return Button(text, not reason, reason or "Segment the region; results appear block by block")


def _output_fact(form: Form) -> str:
    if form.target is not None:
        count = form.target.corrections
        top = f" Your {count} accepted block{'s' if count != 1 else ''} stay on top." if count else ""
        return f"Into {form.target.path.name}.{top}"
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
    text = "\n".join(filter(None, (estimate.again, estimate.text)))
    return "Estimating…" if estimate.busy and not text else text


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

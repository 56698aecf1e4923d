"""What the upper part of the Codes page shows, computed without Qt: teacher, region, run.

Notation: regions and shapes are (z, y, x) voxels.
"""

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from napari_vesselkd.geometry import Region, Shape
from napari_vesselkd.patterns.code_map import CODES_ENDING, CODES_FOLDER
from napari_vesselkd.plugin.chosen_volume import Chosen, default_output, describe_chosen, nearest_folder
from napari_vesselkd.plugin.failure import Failure
from napari_vesselkd.plugin.segment_state import Button, Estimate, Phase, RunState, Where, describe_progress
from napari_vesselkd.plugin.visible import describe_region

NO_VOLUME = "Open a volume first: File > Open, or File > Open Sample > VesselKD"
LOOKING = "Looking for teachers…"
NO_TEACHER = "No checkpoint here has a codebook: teach a teacher on Learn, or import one"


@dataclass(frozen=True)
class TeacherChoice:
    """A checkpoint with a codebook.

    Attributes
    ----------
    name, description, sha256 : str
    codes : int
        N of the codebook.
    stride : (z, y, x)
        Voxels per cell.
    """

    name: str
    description: str
    sha256: str
    codes: int
    stride: Shape


@dataclass(frozen=True)
class CodesForm:
    """What the user chose.

    Attributes
    ----------
    refusal : str or None
        Why the layer cannot be used.
    teacher : TeacherChoice or None
    looking : bool
        Whether the teachers are still being looked for.
    region : Region or None
        In voxels of level 0, whatever `level` is.
    project : Path or None
        The project that the map goes into; None where the layer is not its image.
    """

    chosen: Chosen | None = None
    refusal: str | None = None
    teacher: TeacherChoice | None = None
    looking: bool = False
    where: Where = Where.VIEW
    region: Region | None = None
    level: int = 0
    project: Path | None = None
    restart: bool = False

    @property
    def shape(self) -> Shape:
        """Shape of the level that is worked on."""
        return (1, 1, 1) if self.chosen is None else self.chosen.shape_at(self.level)

    @property
    def level_region(self) -> Region | None:
        """`region` in voxels of `level`."""
        return self.region if self.chosen is None else self.chosen.region_at(self.region, self.level)

    @property
    def factors(self) -> tuple[float, float, float]:
        """Voxels of level 0 per cell, along z, y, x."""
        stride = self.teacher.stride if self.teacher is not None else (1, 1, 1)
        if self.chosen is None or not self.level:
            return float(stride[0]), float(stride[1]), float(stride[2])
        z, y, x = (
            side * max(1, round(fine / coarse))
            for side, fine, coarse in zip(stride, self.chosen.shape, self.shape, strict=True)
        )
        return float(z), float(y), float(x)

    @property
    def path(self) -> Path | None:
        """Where the map is kept; None where nothing is chosen."""
        if self.chosen is None or self.teacher is None:
            return None
        name = self.teacher.name + (f"-level{self.level}" if self.level else "") + CODES_ENDING
        if self.project is not None:
            return self.project / CODES_FOLDER / name
        beside = default_output(self.chosen)
        return beside.with_name(f"{beside.name.removesuffix('-vessels.ome.zarr')}-{name}")


@dataclass(frozen=True)
class CodesPicture:
    """Everything of the upper part that is painted and not an input."""

    volume_text: str
    teacher_text: str
    teacher_is_problem: bool
    region_text: str
    level_visible: bool
    estimate_text: str
    estimate_is_problem: bool
    run: Button
    stop: Button
    reason: str
    bar_visible: bool
    bar_permille: int | None
    bar_text: str
    notices: tuple[str, ...]
    failure: Failure | None
    kept_text: str
    command: str
    inputs_enabled: bool


def draw_codes(form: CodesForm, estimate: Estimate, run: RunState, *, computed: float | None) -> CodesPicture:
    """Return what the upper part shows; `computed` is the share of the map that is done, None without one."""
    reason = why_not_map(form, estimate, run)
    active = run.phase.active
    teacher = form.teacher
    return CodesPicture(
        volume_text=_describe_volume(form),
        teacher_text=_describe_teacher(teacher, looking=form.looking),
        teacher_is_problem=teacher is None and not form.looking,
        region_text=describe_region(form.region) if form.region else "",
        level_visible=form.chosen is not None and form.chosen.levels > 1 and form.project is None,
        estimate_text=_estimate_text(form, estimate),
        estimate_is_problem=estimate.problem is not None,
        run=Button("Map codes", not reason, reason or "Find the code of every place; they appear by blocks"),
        stop=_stop_button(run.phase),
        reason="" if active or reason in (form.refusal, NO_VOLUME, NO_TEACHER, estimate.problem) else reason,
        bar_visible=run.phase is not Phase.IDLE,
        bar_permille=_permille(run),
        bar_text=_progress_text(run),
        notices=(*(form.chosen.notices if form.chosen else ()), *run.notices),
        failure=run.failure,
        kept_text=_kept_text(form, computed),
        command=command_line(form),
        inputs_enabled=not active,
    )


def why_not_map(form: CodesForm, estimate: Estimate, run: RunState) -> str:
    """Return why the codes cannot be mapped; empty where they can."""
    if run.phase.active:
        return "Codes are being mapped"
    if form.refusal or form.chosen is None:
        return form.refusal or NO_VOLUME
    if form.teacher is None or form.path is None:
        return LOOKING if form.looking else NO_TEACHER
    return _why_no_region(form) or _why_not_write(form.path) or estimate.problem or ""


def _why_no_region(form: CodesForm) -> str:
    if form.region is not None and form.region.size > 0:
        return ""
    if form.where is Where.VIEW:
        return "Nothing of this volume is on screen: move the view over it, or choose Whole"
    return "The box is empty: make its stop larger than its start"


def _why_not_write(path: Path) -> str:
    folder = nearest_folder(path)
    return "" if os.access(folder, os.W_OK) else f"No permission to write in {folder}"


def command_line(form: CodesForm) -> str:
    """Return the equivalent command line; SOURCE stands for a layer without a file."""
    if form.chosen is None or form.teacher is None:
        return ""
    source = form.project or form.chosen.path or Path("SOURCE")
    words = ["vesselkd", "codes", str(source)]
    words += [str(form.path)] if form.project is None else []
    words += ["--checkpoint", form.teacher.name]
    words += ["--channel", str(form.chosen.channel)] if form.chosen.channel else []
    words += ["--level", str(form.level)] if form.level else []
    region = form.level_region
    if region is not None and region != Region.whole(form.shape):
        words += ["--region", str(region)]
    words += ["--restart"] if form.restart else []
    return shlex.join(words)


def _describe_volume(form: CodesForm) -> str:
    if form.refusal or form.chosen is None:
        return form.refusal or NO_VOLUME
    return describe_chosen(form.chosen).replace(": type it below", "")


def _describe_teacher(teacher: TeacherChoice | None, *, looking: bool) -> str:
    if teacher is None:
        return LOOKING if looking else NO_TEACHER
    side = " × ".join(str(step) for step in teacher.stride)
    return f"{teacher.codes} codes, one for each {side} voxels · {teacher.description}"


def _estimate_text(form: CodesForm, estimate: Estimate) -> str:
    if form.chosen is None or form.region is None or form.teacher is None:
        return ""
    return estimate.problem or ("Estimating…" if estimate.busy and not estimate.text else estimate.text)


def _stop_button(phase: Phase) -> Button:
    if phase is Phase.CANCELLING:
        return Button("Stop", False, "Stopping after this block…")
    if phase.active:
        return Button("Stop", True, "Stop within one block; what is finished is kept")
    return Button("Stop", False, "Nothing is running")


def _progress_text(run: RunState) -> str:
    if run.phase is Phase.CANCELLED:
        return describe_progress(run).replace("Cancelled; Run goes on", "Stopped; Map codes goes on")
    return describe_progress(run).replace("Cancelling", "Stopping")


def _kept_text(form: CodesForm, computed: float | None) -> str:
    path = form.path
    if path is None or computed is None:
        return ""
    share = "all of the volume" if computed >= 1 else f"{computed:.0%} of the volume"
    within = f" in {form.project.name}" if form.project is not None else ""
    return f"Mapped: {share}. Kept as {path.name}{within}."


def _permille(run: RunState) -> int | None:
    if run.phase is Phase.FINISHED:
        return 1000
    if run.progress is None or not run.progress.total:
        return None if run.phase.active else 0
    return round(1000 * run.progress.done / run.progress.total)

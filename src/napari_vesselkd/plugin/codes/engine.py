"""Code maps as the dock consumes them; everything here runs in a worker thread.

The engine is imported there too: torch takes seconds to load.

Notation: cells are (z, y, x) on the codebook's grid; voxels are those of the level that was mapped.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from napari_vesselkd.errors import SourceNotFoundError, VesselKDError
from napari_vesselkd.geometry import Region, Shape, as_shape
from napari_vesselkd.patterns.notes import CodeNotes
from napari_vesselkd.plugin.codes.state import CodesForm, TeacherChoice
from napari_vesselkd.plugin.live_level import LiveLevel
from napari_vesselkd.plugin.progress_text import duration
from napari_vesselkd.plugin.segment_state import Estimate
from napari_vesselkd.plugin.visible import describe_bytes, describe_count
from napari_vesselkd.reports import Report
from napari_vesselkd.volume import Volume

if TYPE_CHECKING:
    from napari_vesselkd.checkpoints import Checkpoint
    from napari_vesselkd.patterns.code_map import CodeMap
    from napari_vesselkd.patterns.config import CodesConfig
    from napari_vesselkd.patterns.reports import CodesPreflight
    from napari_vesselkd.project import Project

CORES_FOR_THE_VIEWER = 1


@dataclass(frozen=True, eq=False)
class OpenMap(Report):
    """A code map that can be shown.

    Attributes
    ----------
    code_map : CodeMap
    live : LiveLevel
        Its codes as the layer shows them.
    teacher : TeacherChoice
    volume : Volume
        At the level that was mapped.
    factors : tuple of float
        Voxels of the image layer per cell, along z, y, x.
    notes : CodeNotes or None
        What the user says about the codes; None where `notes_problem` says why they cannot be read.
    notes_problem : str
    """

    code_map: "CodeMap"
    live: LiveLevel
    teacher: TeacherChoice
    volume: Volume
    factors: tuple[float, float, float]
    notes: CodeNotes | None = None
    notes_problem: str = ""

    @property
    def shape(self) -> Shape:
        """Cells (z, y, x)."""
        return as_shape(self.code_map.shape)

    def cells_of(self, region: Region) -> Region:
        """Return the cells that `region`, in voxels of the image layer, touches."""
        start = [int(low // step) for low, step in zip(region.start, self.factors, strict=True)]
        stop = [-int(-high // step) for high, step in zip(region.stop, self.factors, strict=True)]
        found = Region(as_shape(start), as_shape(stop)).intersection(Region.whole(self.shape))
        return found or Region((0, 0, 0), (1, 1, 1))

    def voxels_of(self, cell: Sequence[int]) -> Region:
        """Return the voxels of the image layer that `cell` covers."""
        start = [round(at * step) for at, step in zip(cell, self.factors, strict=True)]
        stop = [round((at + 1) * step) for at, step in zip(cell, self.factors, strict=True)]
        return Region(as_shape(start), as_shape(stop))


def teachers_at_hand(root: Path | None = None) -> tuple[TeacherChoice, ...]:
    """Return the checkpoints with a codebook; `root` is a project's folder.

    Imports pandas, too: napari's first labels layer would, and hold up the viewer for seconds.
    """
    import_module("pandas")
    from napari_vesselkd.checkpoints import CheckpointRegistry
    from napari_vesselkd.patterns.grid import grid_of

    found = []
    for card in CheckpointRegistry(root).list():
        try:
            grid = grid_of(card)
        except VesselKDError:  # a student, or a teacher of images
            continue
        found.append(TeacherChoice(card.name, card.description, card.sha256, grid.codes, grid.stride))
    return tuple(found)


def checkpoint_of(name: str, root: Path | None) -> "Checkpoint":
    """Return the checkpoint called `name`, of the project's folder `root` or the user's."""
    from napari_vesselkd.checkpoints import CheckpointRegistry

    return CheckpointRegistry(root).get(name)


def config_of(form: CodesForm, name: str) -> "CodesConfig":
    """Return the engine's configuration for what the user chose; `name` is a checkpoint's name or path."""
    from napari_vesselkd.patterns.config import CodesConfig

    return CodesConfig(
        checkpoint=name,
        region=form.level_region,
        level=form.level,
        restart=form.restart,
        threads=max(1, (os.cpu_count() or 1) - CORES_FOR_THE_VIEWER),
    )


def estimate_codes(volume: Volume, form: CodesForm, project: "Project | None") -> Estimate:
    """Run the pre-flight; `project` is the one to map into."""
    from napari_vesselkd.patterns.codes import preflight_codes, preflight_project_codes

    name = "" if form.teacher is None else form.teacher.name
    if project is None:
        found = preflight_codes(volume, config_of(form, name), form.path)
    else:
        found = preflight_project_codes(project, config_of(form, name), volume=volume)
    return Estimate(text=describe_preflight(found))


def describe_preflight(found: "CodesPreflight") -> str:
    """Return time, memory, disk, cells and device in two short lines."""
    cells = f"{describe_count(found.cells)}cells in {describe_count(found.blocks)}blocks · {found.device}"
    if found.seconds == 0:
        return f"All of this region is mapped already\n{cells}"
    vram = f" · VRAM {describe_bytes(found.vram_bytes)}" if found.vram_bytes else ""
    needs = f"RAM {describe_bytes(found.ram_bytes)}{vram} · disk up to {describe_bytes(found.disk_bytes)}"
    return f"About {duration(found.seconds)} · {needs}\n{cells}"


def open_map(volume: Volume, form: CodesForm, root: Path | None = None) -> OpenMap | None:
    """Open the map that is kept for a volume and a teacher; None where there is none.

    Raises
    ------
    VesselKDError
        If the map is of another image or another checkpoint, or broken.
    """
    from napari_vesselkd.checkpoints import CheckpointRegistry
    from napari_vesselkd.patterns.code_map import CodeMap

    path, teacher = form.path, form.teacher
    if path is None or teacher is None or not path.is_dir():
        return None
    code_map = CodeMap.open(path)
    code_map.check_checkpoint(checkpoint_of(teacher.name, root).card)
    at_level = code_map.volume_at(volume)
    notes, problem = _notes(CheckpointRegistry(root).root, code_map.sha256)
    return OpenMap(code_map, LiveLevel(code_map.codes), teacher, at_level, form.factors, notes, problem)


def _notes(folder: Path, sha256: str) -> tuple[CodeNotes | None, str]:
    """Return the notes on a checkpoint's codes, or why they cannot be read."""
    try:
        return CodeNotes.load(folder, sha256), ""
    except VesselKDError as error:
        return None, str(error)


def stream_codes(
    volume: Volume,
    form: CodesForm,
    project: "Project | None",
    focus: Callable[[], Region | None],
) -> Iterator[Report]:
    """Map the codes, and say when there is something to show: an `OpenMap` among the engine's reports."""
    from napari_vesselkd.patterns.codes import map_codes, map_project_codes
    from napari_vesselkd.patterns.reports import CodesDone, CodesPreflight

    if form.path is None or form.teacher is None:
        return
    if volume.path is not None and not volume.path.exists():
        raise SourceNotFoundError(
            "The volume is no longer where it was opened",
            value=volume.path,
            remedy="Bring it back or open it again",
        )
    form.path.parent.mkdir(parents=True, exist_ok=True)
    root = project.registry.root if project is not None else None
    config = config_of(form, form.teacher.name)
    reports = (
        map_codes(volume, form.path, config, focus=focus)
        if project is None
        else map_project_codes(project, config, volume=volume, focus=focus)
    )
    shown: OpenMap | None = None
    for report in reports:
        if shown is None and not isinstance(report, CodesPreflight):
            shown = open_map(volume, form, root)
            if shown is not None:
                yield shown
        if shown is not None and isinstance(report, CodesDone) and report.cells is not None:
            inside = report.cells.intersection(Region.whole(shown.shape))
            if inside is not None:
                shown.live.changed(inside)
        yield report

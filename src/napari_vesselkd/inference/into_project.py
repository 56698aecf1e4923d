"""Segmenting into a project: its checkpoint, its labels, its corrections on top."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

from napari_vesselkd.blocks.order import Focus
from napari_vesselkd.errors import CheckpointNotFoundError, InvalidInputError, VesselKDError
from napari_vesselkd.inference.config import SegmentConfig
from napari_vesselkd.inference.outputs import earlier_record, same_settings
from napari_vesselkd.inference.planning import describe, make_plan
from napari_vesselkd.inference.predict import segment_over
from napari_vesselkd.inference.reports import Preflight
from napari_vesselkd.project import Project
from napari_vesselkd.reports import Report
from napari_vesselkd.volume import Volume, claim_output, output_errors


def segment_project(
    project: Project,
    config: SegmentConfig | None = None,
    *,
    volume: Volume | None = None,
    focus: Focus = None,
) -> Iterator[Report]:
    """Segment the image of a project, or a region of it, into its labels.

    Accepted corrections lie on top of every block that is written. With another checkpoint or threshold than
    the labels were made with nothing counts as done: what is asked for is computed again, the labels
    elsewhere stay as they are. The project may be open read-only: its labels have a lock of their own.

    Parameters
    ----------
    project : Project
    config : SegmentConfig, optional
        Checkpoint "auto" is the project's `current` one; names are looked up in the project first.
    volume : Volume, optional
        The project's image where it is open already; checked.
    focus : Region or callable, optional
        As in `segment`.

    Yields
    ------
    Report
        As `segment`.

    Raises
    ------
    VesselKDError
        As `segment`, and ProjectError for another image.
    """
    config = project_config(project, config)
    try:
        with ExitStack() as stack:
            image = stack.enter_context(project.image_or(volume))
            if config.restart and project.labels is None:
                _set_aside(project.labels_path)
            yield from segment_over(image, project.labels_path, config, project.over_prediction, focus)
    except BaseException:
        with suppress(VesselKDError):  # they stay pending
            project.apply_pending()
        raise
    project.apply_pending()


def preflight_project(
    project: Project, config: SegmentConfig | None = None, *, volume: Volume | None = None
) -> Preflight:
    """Return what `segment_project` would do and need, without running it.

    Raises
    ------
    VesselKDError
        As `segment_project` does before its first block.
    """
    config = project_config(project, config)
    with project.image_or(volume) as image:
        record = earlier_record(project.labels_path, config)
        plan = make_plan(image, config, record)
        if record is not None and not same_settings(record, plan, plan.fingerprint()):
            record = None
        return describe(plan, record)


def project_config(project: Project, config: SegmentConfig | None = None) -> SegmentConfig:
    """Return the settings with the project's level and the path of the checkpoint that is meant.

    Raises
    ------
    InvalidInputError
        If another level, or the probability, is asked for.
    CheckpointNotFoundError, CheckpointError
        If the checkpoint in use cannot be read.
    """
    config = config or SegmentConfig()
    project.check_level(config.level)
    if config.probability:
        raise InvalidInputError(
            "A project keeps labels, no probability", remedy="Write it to an output of its own"
        )
    name = project.current if config.checkpoint == "auto" else config.checkpoint
    if name != "auto":
        try:
            name = str(project.registry.get(name).path)
        except CheckpointNotFoundError:
            if config.checkpoint == "auto":
                raise  # else it may be one of the user's own
    return replace(config, checkpoint=name, level=0)


def _set_aside(path: Path) -> None:
    """Keep labels that cannot be used under another name, so that new ones can be begun."""
    if path.exists():
        with claim_output(path), output_errors(path):
            broken = path.with_name(path.name + ".broken")
            shutil.rmtree(broken, ignore_errors=True)
            path.rename(broken)

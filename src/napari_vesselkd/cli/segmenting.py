"""What ``vesselkd segment`` does: labels into a file, or into a project."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.inference import SegmentConfig, preflight, segment, segment_project
from napari_vesselkd.project import Project
from napari_vesselkd.reports import Notice, Report
from napari_vesselkd.volume import Volume

ENDING = ".vesselkd"


def segment_into(volume: Volume, output: str, config: SegmentConfig) -> Iterator[Report]:
    """Segment `volume` into an output of `segment`, or into a project, which is made if it is not there.

    Raises
    ------
    VesselKDError
        As `segment`; ProjectError if the project is broken or of another image.
    """
    if not output.rstrip("/\\").endswith(ENDING):
        yield from segment(volume, output, config)
        return
    if config.probability:
        raise InvalidInputError(
            "A project keeps labels, no probability", remedy="Write it to an output of its own"
        )
    path = Path(output).expanduser()
    if not path.exists():
        yield _new_project(volume, path, config)
    with Project.open(path) as project:
        yield from (Notice(text) for text in project.notices)
        image = volume if volume.voxel_size_known else project.image.applied(volume)
        yield from segment_project(project, config, volume=image)


def _new_project(volume: Volume, path: Path, config: SegmentConfig) -> Notice:
    """Make a project once it is known that it can be segmented; nothing is left behind otherwise."""
    preflight(volume, path / "labels.ome.zarr", config)
    Project.create(path, volume.at_level(config.level)).close()
    return Notice(f"New project: {path}")

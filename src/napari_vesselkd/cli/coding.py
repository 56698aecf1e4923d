"""What ``vesselkd codes`` does: the code map of a volume or a project, then how often each code is chosen."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_vesselkd.cli.code_tables import (
    changed_line,
    check_beyond,
    comparing,
    describing,
    difference_line,
    meaning_columns,
)
from napari_vesselkd.cli.console import columns
from napari_vesselkd.errors import InvalidInputError, OutputError
from napari_vesselkd.patterns.code_map import CodeMap
from napari_vesselkd.patterns.codes import map_codes, map_project_codes
from napari_vesselkd.patterns.comparison import CodesChanged
from napari_vesselkd.patterns.config import CodesConfig
from napari_vesselkd.patterns.meaning import CodeTable
from napari_vesselkd.patterns.reports import CodesFinished
from napari_vesselkd.patterns.usage import Usage, UsageDifference, counting
from napari_vesselkd.project import Project
from napari_vesselkd.reports import Notice, Progress, Report, Result
from napari_vesselkd.volume import Volume, open_volume, output_errors

if TYPE_CHECKING:
    from napari_vesselkd.geometry import VoxelSize

PROJECT = ".vesselkd"
MOST_FREQUENT = 8


@dataclass(frozen=True)
class CodesRequest:
    """The arguments of the command; see there."""

    source: str
    output: str | None
    config: CodesConfig
    channel: int | None = None
    voxel_size_um: VoxelSize | None = None
    csv: str | None = None
    labels: str | None = None
    compare: str | None = None


@dataclass(frozen=True)
class CodesCounted(Result):
    """The code map is there and its codes are counted.

    Attributes
    ----------
    output : str
        The code map.
    region : str
        What was asked for, grown to whole windows, in voxels.
    usage : Usage
        Of the region.
    csv : str or None
        The table.
    meaning : CodeTable or None
        The image and the vessels under each code, where labels were given.
    changed : CodesChanged or None
        What is different in the map that was to be compared, where it is of the same image.
    difference : UsageDifference or None
        How the usage differs from that of the other map, where it is of another image.
    compared : str or None
        That map.
    """

    output: str
    region: str
    usage: Usage
    csv: str | None
    meaning: CodeTable | None = None
    changed: CodesChanged | None = None
    difference: UsageDifference | None = None
    compared: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, those of the usage among them."""
        own = {"report": type(self).__name__, "output": self.output, "region": self.region, "csv": self.csv}
        more = {name: getattr(self, name) for name in ("meaning", "changed", "difference")}
        plain = {name: value.to_dict() for name, value in more.items() if value is not None}
        return {**self.usage.to_dict(), **own, **plain}


def run_codes(request: CodesRequest) -> Iterator[Report]:
    """Map the codes and count them; the last report is `CodesCounted`."""
    table = None if request.csv is None else _checked_csv(request.csv)
    if request.labels is not None or request.compare is not None:
        with ExitStack() as stack:
            image = _image(request, stack)
            check_beyond(image, request.config.checkpoint, request.labels, request.compare)
    finished: CodesFinished | None = None
    for report in _mapping(request):
        yield report
        if isinstance(report, CodesFinished):
            finished = report
    if finished is None:  # cannot be: it is the last report of every run
        return
    yield from _counted(request, finished, table)


def _counted(request: CodesRequest, finished: CodesFinished, table: Path | None) -> Iterator[Report]:
    """Count the codes, say what else was asked for, and write the table."""
    found: dict[type, Any] = {}
    with CodeMap.open(finished.output) as code_map, ExitStack() as stack:
        for count in counting(code_map, finished.cells):
            found[type(count)] = count
        if request.labels is not None:
            image = _image(request, stack)
            for report in describing(code_map, image, request.labels, finished.cells):
                found[type(report)] = report
                if isinstance(report, Progress):
                    yield report
        if request.compare is not None:
            for compared in comparing(code_map, found[Usage], request.compare, finished.cells):
                found[type(compared)] = compared
    usage, meaning = found[Usage], found.get(CodeTable)
    if table is not None and meaning is not None:
        meaning.to_csv(table)
    elif table is not None:
        _write_csv(table, usage)
    place = None if table is None else str(table)
    other = {"changed": found.get(CodesChanged), "difference": found.get(UsageDifference)}
    yield CodesCounted(
        finished.output, str(finished.region), usage, place, meaning, compared=request.compare, **other
    )


def usage_lines(found: CodesCounted) -> list[str]:
    """Return what is to be said of a code map in text."""
    usage, counts = found.usage, found.usage.counts
    order = (-counts).argsort(kind="stable")[: min(MOST_FREQUENT, usage.used)]
    rows: list[tuple[str, ...]] = [("CODE", "CELLS", "SHARE")]
    rows += [(str(code), f"{counts[code]:,}", f"{usage.shares[code]:.1%}") for code in order]
    if found.meaning is not None:
        more = meaning_columns(found.meaning, order.tolist())
        rows = [(*row, *beside) for row, beside in zip(rows, more, strict=True)]
    return [
        f"{found.output}: {usage.cells:,} cells, {usage.used} of {len(counts)} codes used, "
        f"perplexity {usage.perplexity:.1f}, {len(usage.rare)} rare",
        *columns(rows),
        *([] if found.changed is None else [changed_line(found.changed, str(found.compared))]),
        *([] if found.difference is None else [difference_line(found.difference, str(found.compared))]),
        *([] if found.csv is None else [f"{found.csv}: all codes"]),
    ]


def _mapping(request: CodesRequest) -> Iterator[Report]:
    with ExitStack() as stack:
        if _is_project(request.source):
            yield from _of_project(request, stack)
            return
        if request.output is None:
            raise InvalidInputError(
                "The codes of a volume need an output",
                limit="NAME.codes.ome.zarr, or the PROJECT.vesselkd of this volume",
                remedy=f"For example vesselkd codes {request.source} brain.codes.ome.zarr",
            )
        volume = stack.enter_context(
            open_volume(request.source, channel=request.channel, voxel_size_um=request.voxel_size_um)
        )
        if not _is_project(request.output):
            yield from map_codes(volume, request.output, request.config)
            return
        project = stack.enter_context(Project.open(Path(request.output).expanduser()))
        yield from (Notice(text) for text in project.notices)
        image = volume if volume.voxel_size_known else project.image.applied(volume)
        yield from map_project_codes(project, request.config, volume=image)


def _of_project(request: CodesRequest, stack: ExitStack) -> Iterator[Report]:
    """Map the codes of a project's own image, into the project unless an output is given."""
    if request.channel is not None or request.voxel_size_um is not None:
        raise InvalidInputError(
            "A project knows the channel and the voxel size of its image",
            remedy="Leave --channel and --voxel-size out",
        )
    project = stack.enter_context(Project.open(Path(request.source).expanduser()))
    yield from (Notice(text) for text in project.notices)
    if request.output is None:
        yield from map_project_codes(project, request.config)
    else:
        yield from map_codes(stack.enter_context(project.open_image()), request.output, request.config)


def _image(request: CodesRequest, stack: ExitStack) -> Volume:
    """Return the image of the map, at any level, with the voxel size that it is mapped with."""
    if _is_project(request.source):
        project = stack.enter_context(Project.open(Path(request.source).expanduser(), write=False))
        return stack.enter_context(project.open_image())
    volume = stack.enter_context(
        open_volume(request.source, channel=request.channel, voxel_size_um=request.voxel_size_um)
    )
    if request.output is None or not _is_project(request.output) or volume.voxel_size_known:
        return volume
    project = stack.enter_context(Project.open(Path(request.output).expanduser(), write=False))
    return project.image.applied(volume)


def _is_project(path: str) -> bool:
    return path.rstrip("/\\").endswith(PROJECT)


def _checked_csv(path: str) -> Path:
    table = Path(path).expanduser()
    if table.suffix.lower() != ".csv" or table.is_dir() or not table.absolute().parent.is_dir():
        raise OutputError(
            "The table cannot be written there",
            value=path,
            limit="NAME.csv in a folder that exists",
            remedy="Choose another path for --csv",
        )
    return table


def _write_csv(path: Path, usage: Usage) -> None:
    """Write code, cells and share, one code a line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("code", "cells", "share"))
    counts, shares = usage.counts, usage.shares
    writer.writerows((code, int(counts[code]), f"{shares[code]:.6g}") for code in range(len(counts)))
    aside = path.with_name(path.name + ".part")
    with output_errors(path):
        aside.write_text(text.getvalue(), encoding="utf-8")
        aside.replace(path)

"""What ``vesselkd codes`` says beyond the counts: vessels under each code, another checkpoint's map."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from napari_vesselkd.checkpoints.files import with_ending
from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import Region, Shape
from napari_vesselkd.patterns.code_map import CodeMap
from napari_vesselkd.patterns.comparison import CodesChanged, compare_maps
from napari_vesselkd.patterns.meaning import CodeTable, describe_codes
from napari_vesselkd.patterns.usage import Usage, UsageDifference, compare_usage, counting
from napari_vesselkd.reports import Progress, Report
from napari_vesselkd.volume import Volume, open_volume

SHOWN = {
    "VESSEL": ("vessel_fraction", "{:.1%}"),
    "RADIUS um": ("radius_um", "{:.2f}"),
    "TORTUOSITY": ("tortuosity", "{:.2f}"),
    "DEPTH um": ("depth_um", "{:.0f}"),
}

MOST_CODES = 5


def check_beyond(image: Volume, checkpoint: str, labels: str | None, other: str | None) -> None:
    """Raise what would be wrong with labels or another map only after the codes are mapped.

    Raises
    ------
    VesselKDError
        If one of them cannot be opened.
    InvalidInputError
        If the labels fit no level of `image`, or the map is of another image and another checkpoint.
    """
    if labels is not None:
        with open_volume(labels) as opened:
            of_image = {tuple(array.shape) for array in image.levels}
            if not any(tuple(array.shape) in of_image for array in opened.levels):
                raise _another_shape(opened, image.shape)
    if other is not None:
        with CodeMap.open(other) as second:
            if with_ending(checkpoint, "").name != second.checkpoint:
                second.check(image)


def describing(code_map: CodeMap, image: Volume, labels: str, cells: Region) -> Iterator[Report]:
    """Describe the codes of some cells; the last report is the `CodeTable`.

    Parameters
    ----------
    code_map : CodeMap
    image : Volume
        Of the map, at any level.
    labels : str
        Path of a label image, one of whose levels has the shape of the level that was mapped.
    cells : Region
    """
    with ExitStack() as opened:
        vessels = _of_shape(opened.enter_context(open_volume(labels)), code_map)
        yield from describe_codes(code_map, code_map.volume_at(image), vessels, cells)


def comparing(
    code_map: CodeMap, usage: Usage, other: str, cells: Region
) -> Iterator[Progress | CodesChanged | UsageDifference]:
    """Compare some cells with the map at `other`.

    With a map of the same image by another checkpoint, cell by cell: the last one is `CodesChanged`. With a
    map of another image by the same checkpoint, the `usage` of these cells with that of the other map: the
    last one is the `UsageDifference`.

    Raises
    ------
    InvalidInputError
        If both differ, or nothing is computed in one.
    """
    with CodeMap.open(other) as second:
        if second.signature == code_map.signature or second.sha256 != code_map.sha256:
            yield from compare_maps(code_map, second, cells)
            return
        for count in counting(second):
            if isinstance(count, Usage):
                yield compare_usage(usage, count)


def changed_line(changed: CodesChanged, other: str) -> str:
    """Return what changed in one line."""
    text = f"{Path(other).name}: {changed.share:.1%} of {changed.compared:,} cells have another code"
    if changed.share_matched < changed.share:
        text += f", {changed.share_matched:.1%} where codes may change their numbers"
    return text


def difference_line(difference: UsageDifference, other: str) -> str:
    """Return how two usages differ in one line."""
    text = f"{Path(other).name}: usage {difference.jensen_shannon:.3f} bits apart (p = {difference.p:.3f})"
    codes = [
        "{} x{:.2g} ({:.2g} to {:.2g})".format(code, *(2.0**value for value in values))
        for code in difference.certain[:MOST_CODES]
        for values in [(difference.log2_ratio[code], difference.low[code], difference.high[code])]
    ]
    more = len(difference.certain) - len(codes)
    rest = f" and {more} more" if more else ""
    return text + (f"; surely other: {', '.join(codes)}{rest}" if codes else "; no code surely differs")


def meaning_columns(table: CodeTable, codes: list[int]) -> list[tuple[str, ...]]:
    """Return, below a heading, what is known of the vessels under each of `codes`."""
    rows: list[tuple[str, ...]] = [tuple(SHOWN)]
    for code in codes:
        row = [(getattr(table, name)[code], form) for name, form in SHOWN.values()]
        rows.append(tuple("-" if math.isnan(value) else form.format(value) for value, form in row))
    return rows


def _of_shape(labels: Volume, code_map: CodeMap) -> Volume:
    """Return `labels` at the level that has the shape of the level that was mapped."""
    for level, array in enumerate(labels.levels):
        if tuple(array.shape) == code_map.volume_shape:
            return labels.at_level(level)
    raise _another_shape(labels, code_map.volume_shape)


def _another_shape(labels: Volume, shape: Shape) -> InvalidInputError:
    return InvalidInputError(
        "The labels have another shape than the volume",
        value=labels.shape,
        limit=str(shape),
        remedy="Give labels of this volume, at the level that is mapped",
    )

"""Changes of voxels with their inverse: boxes with old and new voxels, packed as in a journal.

Notation: z, y, x axes; voxels are 0 unlabelled, 1 background, 2 vessel; a box is a region in voxels of the
block. A step is what one undo takes back.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import Region, Shape, as_shape
from napari_vesselkd.labels.sparse import SparseVoxels

VALUES = 3
ERASED = 3  # on the sheet only: what lies under it is no correction any more
WHOLE = ("b", "u", "i")  # numpy's kinds of whole numbers
UNLABELLED, BACKGROUND, VESSEL = range(VALUES)
Voxels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Change:
    """One change: the box, and its voxels before and after, packed as in the journal."""

    box: Region
    old: str
    new: str

    @classmethod
    def between(cls, box: Region, old: Voxels, new: Voxels) -> Change:
        """Return the change from `old` to `new`, both of the shape of `box`."""
        return cls(box, packed(old), packed(new))

    @property
    def differs(self) -> npt.NDArray[np.bool_]:
        """Which voxels of the box, (z, y, x), it changes."""
        return np.not_equal(unpacked(self.old, self.box.shape), unpacked(self.new, self.box.shape))

    def apply(self, voxels: Voxels | SparseVoxels) -> None:
        voxels[self.box.slices] = unpacked(self.new, self.box.shape)

    def revert(self, voxels: Voxels | SparseVoxels) -> None:
        voxels[self.box.slices] = unpacked(self.old, self.box.shape)

    def to_record(self) -> dict[str, str]:
        return {"box": str(self.box), "old": self.old, "new": self.new}


@dataclass
class Step:
    """What one undo takes back."""

    number: int
    changes: list[Change]

    @property
    def box(self) -> Region:
        """The smallest box around all changes."""
        return around([change.box for change in self.changes])


def changes_of(record: Mapping[str, Any], shape: Shape) -> list[Change]:
    """Return the changes of a record of kind "stroke"; RegionError where a box leaves `shape`."""
    parts = record.get("changes", [record])
    return [Change(Region.parse(one["box"], shape), one["old"], one["new"]) for one in parts]


def boxes_of(record: Mapping[str, Any], shape: Shape) -> list[Region]:
    """Return the boxes that a record of kind "stroke" changes."""
    return [Region.parse(one["box"], shape) for one in record.get("changes", [record])]


def around(boxes: list[Region]) -> Region:
    """Return the smallest box around all `boxes`, of which there is at least one."""
    start = as_shape(np.min([box.start for box in boxes], axis=0))
    return Region(start, as_shape(np.max([box.stop for box in boxes], axis=0)))


def changed_box(old: Voxels, new: npt.NDArray[Any]) -> Region | None:
    """Return the smallest box in which two arrays (z, y, x) differ, or None.

    Raises
    ------
    InvalidInputError
        If their shapes differ.
    """
    if old.shape != new.shape:
        raise InvalidInputError(
            "The voxels are not those of this block", value=new.shape, limit=f"{old.shape}"
        )
    differs = old != new
    planes = np.flatnonzero(differs.reshape(len(differs), -1).any(axis=1))
    if not len(planes):
        return None
    slab = differs[planes[0] : planes[-1] + 1]
    found = [planes, *(np.flatnonzero(slab.any(axis=axes)) for axes in ((0, 2), (0, 1)))]
    return Region(as_shape([axis[0] for axis in found]), as_shape([axis[-1] + 1 for axis in found]))


def checked_voxels(voxels: npt.NDArray[Any], shape: Shape, *, values: int = VALUES) -> Voxels:
    """Return labels of `shape` as bytes; InvalidInputError where there are others than 0, 1 and 2.

    With `values` 4 there may be `ERASED` too.
    """
    if voxels.shape != shape:
        raise InvalidInputError(
            "The voxels are not those of this block", value=voxels.shape, limit=f"{shape}"
        )
    known = voxels.dtype.kind in WHOLE and voxels.min() >= 0 and voxels.max() < values
    if not known:
        odd = voxels.dtype if voxels.dtype.kind not in WHOLE else np.unique(voxels)[-5:].tolist()
        raise InvalidInputError(
            "The labels hold other values than those of a correction",
            value=odd,
            limit="0 unlabelled, 1 background, 2 vessel",
            remedy="Undo the last stroke and paint with 1 or 2",
        )
    return np.ascontiguousarray(voxels, dtype=np.uint8)


def packed(voxels: Voxels) -> str:
    """Return voxels as the journal holds them: zlib, then base64."""
    return base64.b64encode(zlib.compress(voxels.tobytes(), 1)).decode()


def unpacked(text: str, shape: Shape) -> Voxels:
    """Return the voxels (z, y, x) of what `packed` made."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).reshape(shape)

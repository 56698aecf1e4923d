"""The prediction beneath the corrections, kept so that one can be taken back without predicting again.

Notation: z, y, x axes; labels are 0 and 1; corrections 0 unlabelled, 1 background, 2 vessel; beneath is 0
where the labels are the prediction, else 1 and 2 for a prediction of 0 and 1 that a correction covers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from napari_vesselkd.geometry import Region
from napari_vesselkd.labels import RunRecord
from napari_vesselkd.volume import output_errors

NAME = "beneath.zarr"
CHUNK = (64, 64, 64)
COMPLETE = "complete"
Voxels = npt.NDArray[np.uint8]


class Beneath:
    """What the corrections in the labels of one record cover; the caller has claimed the labels.

    Parameters
    ----------
    record : RunRecord
    complete : bool
        Where it is made now: whether no correction is in these labels yet.

    Attributes
    ----------
    complete : bool
        Whether the prediction is known beneath every correction; not in projects of earlier versions.
    """

    def __init__(self, record: RunRecord, *, complete: bool) -> None:
        self.path: Path = record.folder / NAME
        with output_errors(self.path):
            self._array = _opened(self.path, record, complete)
        self.complete = bool(self._array.attrs.get(COMPLETE, False))

    def prediction(self, region: Region, labels: Voxels) -> Voxels:
        """Return the prediction, 0 and 1, in a region whose labels these are, (z, y, x)."""
        beneath = self._read(region)
        return np.where(beneath > 0, beneath - 1, labels).astype(np.uint8)

    def cover(self, region: Region, prediction: Voxels, corrections: Voxels, *, keep: bool = False) -> None:
        """Keep the prediction where corrections cover it, with `keep` also where they did until now.

        All are (z, y, x) of `region`.

        Raises
        ------
        OutputError
            If the disk is full.
        """
        before = self._read(region)
        covered = np.where(corrections > 0, prediction + 1, before if keep else 0).astype(np.uint8)
        with output_errors(self.path):
            if not np.array_equal(covered, before):
                self._array[region.slices] = covered

    def _read(self, region: Region) -> Voxels:
        return np.asarray(self._array[region.slices], dtype=np.uint8)


def _opened(path: Path, record: RunRecord, complete: bool) -> Any:
    if (path / "zarr.json").is_file():
        return zarr.open_array(path, mode="r+")
    array: Any = zarr.create_array(
        path, shape=record.shape, chunks=CHUNK, dtype="uint8", fill_value=0, overwrite=True
    )
    array.attrs[COMPLETE] = complete
    return array

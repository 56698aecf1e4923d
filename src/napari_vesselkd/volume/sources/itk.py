"""MHA, MHD and NRRD through SimpleITK: the header at once, voxels region by region."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_vesselkd.errors import CorruptSourceError, UnsupportedSourceError
from napari_vesselkd.volume.sources.found import Found, damaged, voxel_size_of
from napari_vesselkd.volume.units import um_per

UM_PER_MM = 1e3
_SPACINGS = {"elementspacing", "elementsize", "spacings", "space directions"}
HEADER_BYTES = 8192
KEPT_BYTES = 2**30
_FIELD = re.compile(r"^([A-Za-z ]+?)\s*[=:]=?\s*([^\r\n]*)", re.M)
_VOXEL_BYTES = {
    **dict.fromkeys(("met_short", "met_ushort", "short", "unsigned short", "int16", "uint16"), 2),
    **dict.fromkeys(
        ("met_int", "met_uint", "met_float", "int", "unsigned int", "int32", "uint32", "float"), 4
    ),
    **dict.fromkeys(("met_double", "double"), 8),
}


def open_itk(path: Path) -> Found:
    """Open a MetaImage or NRRD file; without a unit, spacing and origin are taken as mm, as ITK does.

    Raises
    ------
    CorruptSourceError
        If the header cannot be read, or promises more than the file holds.
    UnsupportedSourceError
        If its voxels are vectors other than RGB, or complex numbers.
    """
    import SimpleITK

    fields = _text_header(path)
    _check_header(path, fields)
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        size, ndim = reader.GetSize(), reader.GetDimension()
        kind = SimpleITK.GetPixelIDValueAsString(reader.GetPixelID())
    except RuntimeError as error:
        raise damaged(path, "cannot be read", error) from error
    if ndim not in (2, 3):
        raise UnsupportedSourceError(f"{path} is not a volume", value=f"{ndim} axes", limit="2 or 3 axes")
    _check_complete(path, fields)
    array = ItkArray(
        path, tuple(reversed(size)), kind, int(reader.GetNumberOfComponents()), _compressed(fields)
    )
    in_um = _unit_um(fields)
    spacing = dict(zip("xyz", (value * in_um for value in reader.GetSpacing()), strict=False))
    straight = np.allclose(np.reshape(reader.GetDirection(), (ndim, ndim)), np.eye(ndim))
    origin = [value * in_um if straight else 0.0 for value in reader.GetOrigin()] + [0.0]
    return Found(
        format="nrrd" if path.suffix.lower() in (".nrrd", ".nhdr") else "mha",
        arrays=(array,),
        axes="zyx"[-ndim:] + ("s" if array.samples > 1 else ""),
        voxel_sizes_um=(voxel_size_of(spacing),) if not _SPACINGS.isdisjoint(fields) else None,
        origin_um=(origin[2], origin[1], origin[0]),
    )


def _text_header(path: Path) -> dict[str, str]:
    with path.open("rb") as file:
        text = file.read(HEADER_BYTES).decode("latin-1")
    return {key.strip().lower(): value.strip() for key, value in _FIELD.findall(text)}


def _unit_um(fields: dict[str, str]) -> float:
    """Return the length in um of NRRD's ``space units: "mm" "mm" "mm"``; mm where it says nothing."""
    units = {um_per(unit) for unit in re.findall(r'"([^"]*)"', fields.get("space units", ""))}
    return (units.pop() if len(units) == 1 else None) or UM_PER_MM


def _check_header(path: Path, fields: dict[str, str]) -> None:
    """Raise CorruptSourceError for a MetaImage header that ITK would crash on."""
    if path.suffix.lower() not in (".mha", ".mhd"):
        return
    sizes = fields.get("dimsize", "").split()
    sane = fields.get("ndims", "").isdigit() and len(sizes) == int(fields["ndims"])
    if not sane or not all(size.isdigit() and int(size) > 0 for size in sizes) or "elementtype" not in fields:
        raise damaged(
            path,
            "has a broken MetaImage header",
            value=f"NDims = {fields.get('ndims')}, DimSize = {' '.join(sizes)}",
        )


def _compressed(fields: dict[str, str]) -> bool:
    return fields.get("compresseddata", "false").lower() == "true" or fields.get("encoding", "raw") != "raw"


def _check_complete(path: Path, fields: dict[str, str]) -> None:
    """Raise CorruptSourceError if raw voxels in the same file are fewer than its text header promises."""
    sizes = fields.get("dimsize") or fields.get("sizes")
    attached = fields.get("elementdatafile", "").upper() == "LOCAL" or (
        path.suffix.lower() == ".nrrd" and "data file" not in fields and "datafile" not in fields
    )
    if sizes is None or not attached or _compressed(fields):
        return
    voxel_bytes = _VOXEL_BYTES.get(fields.get("elementtype", fields.get("type", "")).lower(), 1)
    promised = voxel_bytes * math.prod(int(float(n)) for n in sizes.split())
    size = path.stat().st_size
    if promised > size:
        raise CorruptSourceError(
            f"{path} is truncated or its header is wrong",
            value=f"{size} bytes",
            limit=f"more than {promised} by its header",
            remedy="Copy or export the file again",
        )


class ItkArray:
    """A (z, y, x) or (z, y, x, s) array read through ITK's region reader, which keeps no file open.

    ITK unpacks NRRD and compressed files whole for any region; up to `KEPT_BYTES` they are then kept.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], kind: str, samples: int, compressed: bool) -> None:
        self.path, self.samples = path, samples
        self.dtype = _dtype(path, kind)
        self.shape = (*shape, samples) if samples > 1 else shape
        self.ndim = len(self.shape)
        self._streams = path.suffix.lower() in (".mha", ".mhd") and not compressed
        self._whole: npt.NDArray[Any] | None = None

    def __getitem__(self, index: tuple[Any, ...]) -> npt.NDArray[Any]:
        if not self._streams and math.prod(self.shape) * self.dtype.itemsize <= KEPT_BYTES:
            if self._whole is None:
                self._whole = self._read([range(n) for n in self.shape[: self.ndim - (self.samples > 1)]])
            return np.array(self._whole[index])
        space = index[: self.ndim - 1] if self.samples > 1 else index
        ranges = [range(*key.indices(n)) for key, n in zip(space, self.shape, strict=False)]
        if any(len(steps) == 0 for steps in ranges):
            return np.empty([len(steps) for steps in ranges], self.dtype)
        block = self._read(ranges)
        steps = tuple(slice(None, None, steps.step) for steps in ranges)
        return np.asarray(block[(*steps, *index[len(space) :])])

    def _read(self, ranges: list[range]) -> npt.NDArray[Any]:
        """Read the box around `ranges`, one per axis in z, y, x."""
        import SimpleITK

        reader = SimpleITK.ImageFileReader()
        reader.SetFileName(str(self.path))
        reader.SetExtractIndex([steps[0] for steps in reversed(ranges)])
        reader.SetExtractSize([steps[-1] - steps[0] + 1 for steps in reversed(ranges)])
        try:
            return np.asarray(SimpleITK.GetArrayFromImage(reader.Execute()))
        except RuntimeError as error:
            raise damaged(self.path, "cannot be read", error) from error


def _dtype(path: Path, kind: str) -> np.dtype[Any]:
    """Return the numpy type of ITK's "16-bit unsigned integer", "vector of 32-bit float", ..."""
    bits = "".join(letter for letter in kind if letter.isdigit())
    if "complex" in kind or not bits:
        raise UnsupportedSourceError(
            f"{path} has voxels that are not gray values", value=kind, remedy="Save its magnitude as float32"
        )
    if "float" in kind:
        return np.dtype(f"f{int(bits) // 8}")
    return np.dtype(f"{'u' if 'unsigned' in kind else 'i'}{int(bits) // 8}")

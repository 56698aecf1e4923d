"""The volume that is chosen in the Segment tab: what it is, and where its labels go by default. No Qt.

Notation: shapes are (z, y, x) voxels; voxel sizes are (z, y, x) in um.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from napari_vesselkd.geometry import Shape, VoxelSize

SOURCE_ENDINGS = (
    ".ome.zarr", ".zarr", ".ome.tif", ".ome.tiff", ".tif", ".tiff", ".nii.gz", ".nii", ".h5", ".hdf5", ".mha",
    ".mhd", ".nrrd",
)  # fmt: skip
MEMORY_FOLDER = "vesselkd"


@dataclass(frozen=True)
class Chosen:
    """The volume that was chosen, as far as the tab shows it.

    Attributes
    ----------
    level_shapes : tuple of (z, y, x)
        Of every level, finest first.
    size_typed : bool
        Whether the voxel size is another one than the file says: the command line then needs it.
    tilted : bool
        Whether the layer is rotated or sheared.
    """

    name: str
    shape: Shape
    dtype: str
    voxel_size_um: VoxelSize
    voxel_size_known: bool
    path: Path | None = None
    channel: int = 0
    level_shapes: tuple[Shape, ...] = ()
    size_typed: bool = False
    tilted: bool = False
    notices: tuple[str, ...] = ()

    @property
    def levels(self) -> int:
        return max(1, len(self.level_shapes))


def default_output(chosen: Chosen, level: int = 0) -> Path:
    """Return where the result goes by default: beside the volume if that can be written, else at home."""
    home = Path.home() / MEMORY_FOLDER
    coarse = f"-level{level}" if level else ""
    if chosen.path is None:
        stem = re.sub(r"[^\w.-]+", "-", chosen.name).strip("-.") or "volume"
        return home / f"{stem}{coarse}-vessels.ome.zarr"
    stem = chosen.path.name
    ending = next((e for e in SOURCE_ENDINGS if stem.lower().endswith(e)), "")
    stem = stem[: len(stem) - len(ending)]
    channel = f"-c{chosen.channel}" if chosen.channel else ""
    name = f"{stem}{channel}{coarse}-vessels.ome.zarr"
    beside = chosen.path.absolute().parent
    return (beside if os.access(beside, os.W_OK) else home) / name


def nearest_folder(path: Path) -> Path:
    """Return the closest folder above `path` that exists."""
    folder = path.absolute().parent
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder


def describe_chosen(chosen: Chosen) -> str:
    """Return ``96 × 256 × 256 · uint16 · 3 × 1.6 × 1.6 µm``."""
    shape = " × ".join(str(size) for size in chosen.shape)
    levels = f" · {chosen.levels} levels" if chosen.levels > 1 else ""
    return f"{shape} · {chosen.dtype} · {_describe_size(chosen)}{levels}"


def _describe_size(chosen: Chosen) -> str:
    if not chosen.voxel_size_known:
        return "voxel size not known: type it below"
    millimetres = min(chosen.voxel_size_um) >= 100
    size = " × ".join(f"{value / (1000 if millimetres else 1):.3g}" for value in chosen.voxel_size_um)
    return f"{size} {'mm' if millimetres else 'µm'}"

"""The volume that is chosen in the Segment tab: what it is, and where its labels go by default. No Qt.

Notation: shapes are (z, y, x) voxels; voxel sizes are (z, y, x) in um.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_vesselkd.geometry import Region, Shape, VoxelSize, as_shape
from napari_vesselkd.plugin.layers import LayerVolume, placement, shown_by
from napari_vesselkd.plugin.rescaling import same_size
from napari_vesselkd.projections.levels import region_at
from napari_vesselkd.volume import Volume

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

    def shape_at(self, level: int) -> Shape:
        """Return the shape of a level."""
        return self.level_shapes[level] if level else self.shape

    def region_at(self, region: Region | None, level: int) -> Region | None:
        """Return `region`, of level 0, in voxels of a level."""
        return region if region is None or not level else region_at(region, self.shape, self.shape_at(level))


def chosen_of(layer: Any, source: LayerVolume, volume: Volume) -> Chosen:
    """Return what is to be said of a layer, its volume as it was read, and the volume that is worked on."""
    shown = shown_by(layer)
    file = shown.volume if shown is not None else None
    return Chosen(
        name=volume.name,
        shape=volume.shape,
        dtype=str(volume.dtype),
        voxel_size_um=volume.voxel_size_um,
        voxel_size_known=volume.voxel_size_known,
        path=Path(volume.path) if volume.path else None,
        channel=volume.channel,
        level_shapes=tuple(as_shape(level.shape) for level in volume.levels),
        size_typed=file is not None and volume.voxel_size_known and not same_size(file, volume),
        tilted=placement(layer).affine is not None,
        notices=source.notices,
    )


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

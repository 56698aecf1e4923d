"""What a segmentation reports."""

from __future__ import annotations

from dataclasses import dataclass

from napari_vesselkd.geometry import Region, Shape
from napari_vesselkd.reports import Progress, Report


@dataclass(frozen=True)
class Preflight(Report):
    """What a run will do and need.

    Attributes
    ----------
    voxels, blocks : int
        To work on in the region asked for, those of an earlier run included.
    block, halo : tuple of int
        Core and context on each side, (z, y, x) voxels.
    seconds : float
        Rough time for what is left, in s.
    ram_bytes, vram_bytes, disk_bytes : int
        Peak memory of the process and of the device, and the most that the output may take.
    device, precision, engine, checkpoint : str
        What was chosen where the settings say "auto".
    threshold : float
        Probability from which a voxel is vessel.
    text : str
        All of it in one line.
    """

    voxels: int
    blocks: int
    block: Shape
    halo: Shape
    seconds: float
    ram_bytes: int
    vram_bytes: int
    disk_bytes: int
    device: str
    precision: str
    engine: str
    checkpoint: str
    threshold: float
    text: str


@dataclass(frozen=True)
class BlockDone(Progress):
    """One block is written.

    Attributes
    ----------
    region : Region, optional
        Where, in voxels of the level worked on.
    vessel_voxels : int
        Vessel voxels in it.
    """

    region: Region | None = None
    vessel_voxels: int = 0


@dataclass(frozen=True)
class SegmentFinished(Report):
    """All of the region is segmented and the output complete.

    Attributes
    ----------
    output : str
        Path of the labels.
    probability : str or None
        Path of the probability image.
    region : Region
        What was asked for.
    vessel_voxels : int
        Of the region.
    vessel_fraction : float
        0..1, of the region.
    seconds : float
        This run took, in s.
    resumed : bool
        Whether everything had been done by an earlier run.
    checkpoint, precision, device : str
    threshold : float
    """

    output: str
    probability: str | None
    region: Region
    vessel_voxels: int
    vessel_fraction: float
    seconds: float
    resumed: bool
    checkpoint: str
    precision: str
    device: str
    threshold: float

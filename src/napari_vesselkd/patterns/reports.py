"""What mapping codes reports."""

from __future__ import annotations

from dataclasses import dataclass

from napari_vesselkd.geometry import Region, Shape
from napari_vesselkd.reports import Progress, Report


@dataclass(frozen=True)
class CodesPreflight(Report):
    """What a run will do and need.

    Attributes
    ----------
    voxels, cells, blocks : int
        To work on in the region asked for, those of an earlier run included; each cell is one pass of the
        encoder.
    block : tuple of int
        (z, y, x) voxels.
    stride : tuple of int
        Voxels per code cell, (z, y, x).
    codes : int
        Of the codebook.
    seconds : float
        Rough time for what is left, in s.
    ram_bytes, vram_bytes, disk_bytes : int
        Peak memory of the process and of the device, and the most that the output may take.
    device, checkpoint : str
    text : str
        All of it in one line.
    """

    voxels: int
    cells: int
    blocks: int
    block: Shape
    stride: Shape
    codes: int
    seconds: float
    ram_bytes: int
    vram_bytes: int
    disk_bytes: int
    device: str
    checkpoint: str
    text: str


@dataclass(frozen=True)
class CodesDone(Progress):
    """The codes of one block are written.

    Attributes
    ----------
    region : Region, optional
        Where, in voxels of the level worked on.
    cells : Region, optional
        Where, in code cells.
    """

    region: Region | None = None
    cells: Region | None = None


@dataclass(frozen=True)
class CodesFinished(Report):
    """All of the region is mapped.

    Attributes
    ----------
    output : str
        Path of the code map.
    region : Region
        What was asked for, grown to whole windows, in voxels.
    cells : Region
        The same in code cells.
    seconds : float
        This run took, in s.
    resumed : bool
        Whether everything had been done by an earlier run.
    checkpoint, device : str
    """

    output: str
    region: Region
    cells: Region
    seconds: float
    resumed: bool
    checkpoint: str
    device: str

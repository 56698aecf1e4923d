"""What the tools look at: the open block as it is now, and around it the project's labels with corrections.

Notation: everything is in voxels (z, y, x) of the volume; block voxels are 0 unlabelled, 1 background, 2
vessel. No Qt; read in a worker.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from napari_vesselkd.geometry import Region, Shape, VoxelSize
from napari_vesselkd.labels import LabelStore
from napari_vesselkd.labels.edits import VESSEL
from napari_vesselkd.project import Project
from napari_vesselkd.proofreading.tools.boxes import F32, Mask
from napari_vesselkd.proofreading.tools.evidence import read_evidence
from napari_vesselkd.volume import Volume

MARGIN = 32  # voxels of context around the block, for tools that look through it


@dataclass(frozen=True, eq=False)
class Scene:
    """The open block at one moment, with its surroundings; also the vessel source of the tools.

    Attributes
    ----------
    project : Project
    image : Volume
    block : Region
    voxels : ndarray of uint8, (z, y, x)
        Of the block; nobody changes them any more.
    """

    project: Project
    image: Volume
    block: Region
    voxels: np.ndarray

    @property
    def shape(self) -> Shape:
        return self.image.shape

    @property
    def voxel_size_um(self) -> VoxelSize:
        return self.image.voxel_size_um

    @property
    def around(self) -> Region:
        """The block with a margin, clipped to the volume."""
        return self.block.expanded((MARGIN,) * 3).intersection(Region.whole(self.shape)) or self.block

    @cached_property
    def _labels(self) -> LabelStore | None:
        return self.project.labels

    def read(self, region: Region) -> Mask:
        """Return where `region` is vessel, (z, y, x) bool: the block as it is painted, else the labels."""
        labels = self._labels
        found = np.zeros(region.shape, np.uint8) if labels is None else labels.read(region)
        vessel = np.asarray(self.project.over(region, found) != 0)
        common = region.intersection(self.block)
        if common is not None:
            vessel[common.relative_to(region.start).slices] = self.inside(common) == VESSEL
        return vessel

    def inside(self, region: Region) -> np.ndarray:
        """Return the block's voxels of `region`, which lies in it."""
        return self.voxels[region.relative_to(self.block.start).slices]


class Likeness:
    """How much each voxel looks like the vessels of a scene in the image: a source of 0..1."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.shape = scene, scene.shape

    def read(self, region: Region) -> F32:
        scene = self.scene
        inside = scene.read(region)
        return read_evidence(scene.image, None, region, inside=inside, voxel_size_um=scene.voxel_size_um)

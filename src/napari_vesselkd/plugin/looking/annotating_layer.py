"""The voxels that a painted projection proposes, as an ordinary Labels layer that can be edited and taken.

Notation: voxels are (z, y, x) uint8, 0 nothing, 1 background, 2 vessel.
"""

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.utils.colormaps import DirectLabelColormap

from napari_vesselkd.geometry import Region
from napari_vesselkd.labels.edits import VESSEL
from napari_vesselkd.plugin.layers import KEY, Shown, transform_like
from napari_vesselkd.plugin.project_layers import (
    CORRECTION_COLOURS,
    decode_again,
    levels_shown,
    remove_layer,
)
from napari_vesselkd.plugin.tools.preview import Preview
from napari_vesselkd.project import Project
from napari_vesselkd.proofreading.mip_annotation import BackProjection

PROPOSED = "vesselkd: MIP proposal"
TOOL = "MIP"
COLOURS = {**CORRECTION_COLOURS, 1: "transparent"}  # a whole ray of background would hide the image


@dataclass(frozen=True, eq=False)
class Change:
    """What is to be written: the voxels of `region` that are not 0."""

    region: Region
    values: np.ndarray

    @property
    def text(self) -> str:
        """How many voxels of what."""
        vessel, background = (int((self.values == one).sum()) for one in (2, 1))
        return f"{vessel:,} voxels of vessel, {background:,} of background"

    def preview(self, block: Region) -> Preview:
        """Return it as a tool's change, for the block of that region that is open."""
        where, inside = self.values > 0, np.zeros(self.values.shape, bool)
        common = block.intersection(self.region)
        if common is not None:
            inside[common.relative_to(self.region.start).slices] = True
        outside = int(np.count_nonzero(where & ~inside))
        return Preview(self.region, self.values, where, self.values, outside, self.text)


class ProposedVoxels:
    """The layer ``vesselkd: MIP proposal`` of one viewer.

    Attributes
    ----------
    layer : napari.layers.Labels or None
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._region: Region | None = None
        self._drawings: deque[Any] = deque(maxlen=4)
        self.layer: Any = None

    @property
    def count(self) -> int:
        """Voxels of vessel as the layer shows them now; 0 without it."""
        return int(np.count_nonzero(np.asarray(self.layer.data) == VESSEL)) if self._there() else 0

    def show(self, found: BackProjection, image: Any) -> None:
        """Show a proposal over the image layer `image`, in place of the one before."""
        if self._there() and self._region == found.region:
            self.layer.data = found.voxels
        else:
            self.remove()
            self._region = found.region
            self.layer = self._viewer.add_labels(
                found.voxels,
                name=PROPOSED,
                opacity=0.8,
                colormap=DirectLabelColormap(color_dict=COLOURS),
                metadata={KEY: Shown(source=image)},
                **transform_like(image, found.region.start),
            )
        self.layer.brush_size = 4
        self.layer.selected_label = VESSEL

    def change(self) -> Change | None:
        """Return what the layer holds now; None where there is nothing to write."""
        if not self._there() or self._region is None:
            return None
        values = np.clip(np.asarray(self.layer.data), 0, VESSEL).astype(np.uint8)
        return Change(self._region, values) if values.any() else None

    def write(self, project: Project, change: Change, image: Any) -> str:
        """Write a change into the corrections as one operation, in the worker that calls this; say what."""
        project.apply(change.region, change.values, change.values > 0, tool=TOOL)
        self.flush(project, image)
        return f"Written into the corrections: {change.text}"

    def flush(self, project: Project, image: Any) -> None:
        """Bring the stores in step with what was written, and the levels on screen; for a worker."""
        for region in project.flush():
            decode_again(levels_shown(self._viewer, image), region)

    def remove(self) -> None:
        """Take the layer away."""
        if self._there():
            remove_layer(self._viewer, self.layer, self._drawings)
        self.layer = self._region = None

    def _there(self) -> bool:
        return self.layer is not None and self.layer in self._viewer.layers

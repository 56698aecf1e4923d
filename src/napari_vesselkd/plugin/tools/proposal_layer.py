"""What is proposed, on screen: the layer `vesselkd: proposal`, and the places clicked so far.

Notation: 0 nothing, 1 vessel added, 2 vessel removed, 3 unlabelled; places are (z, y, x) voxels of the image.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.utils.colormaps import DirectLabelColormap

from napari_vesselkd.plugin.layers import KEY, Shown, transform_like
from napari_vesselkd.plugin.project_layers import remove_layer
from napari_vesselkd.plugin.tools.preview import ADDED, CLEARED, REMOVED, Preview

PROPOSAL, CLICKS = "vesselkd: proposal", "vesselkd: clicks"
ADDED_COLOUR, REMOVED_COLOUR, CLEARED_COLOUR = "#3ddc84", "#ff3d8b", "#c9ccd1"
COLOURS: dict[Any, Any] = {
    None: "transparent",
    0: "transparent",
    ADDED: ADDED_COLOUR,
    REMOVED: REMOVED_COLOUR,
    CLEARED: CLEARED_COLOUR,
}
MARK = 11  # pixels across


class ProposalLayer:
    """The two layers of what is proposed over the image layer `image`; hidden while there is nothing.

    They stay in the viewer from the first proposal on until `close`: see `remove_layer`.
    """

    def __init__(self, viewer: Any, image: Any, drawings: deque[Any]) -> None:
        self._viewer, self._image, self._drawings = viewer, image, drawings
        self._layer: Any = None
        self._clicks: Any = None

    @property
    def layer(self) -> Any:
        """The layer of the proposal, None before the first."""
        return self._layer

    def show(self, preview: Preview) -> None:
        """Show a proposal in the place of the one before."""
        data = preview.shown[0] if self._image.ndim == 2 else preview.shown
        place = transform_like(self._image, preview.region.start)
        if self._layer is None or self._layer not in self._viewer.layers:
            self._layer = self._add(
                "add_labels",
                data,
                name=PROPOSAL,
                opacity=0.85,
                colormap=DirectLabelColormap(color_dict=COLOURS),
                **place,
            )
            self._layer.editable = False
        else:
            self._layer.data = data
            self._layer.affine = place.get("affine", np.eye(data.ndim + 1))
            if "translate" in place:
                self._layer.translate = place["translate"]
        self._layer.visible = True

    def mark(self, places: Sequence[Sequence[float]]) -> None:
        """Mark the places that were clicked."""
        axes = 2 if self._image.ndim == 2 else 3
        data = np.asarray(places, float).reshape(-1, 3)[:, -axes:]
        if self._clicks is None or self._clicks not in self._viewer.layers:
            if not len(data):
                return
            self._clicks = self._add(
                "add_points",
                data,
                name=CLICKS,
                symbol="disc",
                face_color="#ffffff",
                border_color="#14171c",
                border_width=0.25,
                **transform_like(self._image),
            )
            self._clicks.editable = False
        self._clicks.data = data
        self._clicks.size = MARK / max(self._viewer.scene.camera.zoom * self._clicks.scale[-1], 1e-9)
        self._clicks.visible = bool(len(data))

    def hide(self, *, marks: bool = True) -> None:
        """Show nothing; without `marks`, those stay."""
        for layer in (self._layer, self._clicks if marks else None):
            if layer is not None and layer in self._viewer.layers:
                layer.visible = False

    def close(self) -> None:
        """Take the layers out of the viewer."""
        for layer in (self._layer, self._clicks):
            if layer is not None and layer in self._viewer.layers:
                remove_layer(self._viewer, layer, self._drawings)
        self._layer = self._clicks = None

    def _add(self, how: str, data: Any, **kwargs: Any) -> Any:
        """Add a layer; what was selected stays selected, as the keys belong to it."""
        active = self._viewer.layers.selection.active
        metadata = {KEY: Shown(source=self._image)}
        layer = getattr(self._viewer, how)(data, metadata=metadata, **kwargs)
        if active is not None and active in self._viewer.layers:
            self._viewer.layers.selection.active = active
        return layer

"""What is projected and what lies over it: the two choices, and the engine behind them.

Notation: matrices are (4, 4), from the (z, y, x) voxels of a layer to the world.
"""

from typing import Any

import numpy as np
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QComboBox, QVBoxLayout, QWidget

from napari_vesselkd.errors import VesselKDError
from napari_vesselkd.plugin.layers import (
    LayerVolume,
    Placement,
    current_steps,
    is_candidate,
    labels_volume,
    placement,
    refusal,
    shown_by,
    volume_of,
)
from napari_vesselkd.plugin.looking.shots import Sources
from napari_vesselkd.plugin.parts import labelled
from napari_vesselkd.plugin.viewer_events import ViewerEvents
from napari_vesselkd.projections import LabelOverlay, SlabProjector
from napari_vesselkd.volume import AxisView

NOTHING = "nothing"
OPEN_FIRST = "Open a volume first: File > Open, or File > Open Sample > VesselKD"
PROPOSALS = ("vesselkd: proposal", "vesselkd: MIP proposal")
CHANGES = ("data", "paint", "labels_update")


class LayerChooser(QWidget):
    """Choose an image layer of `viewer` and labels to draw over it.

    `chosen` is emitted when another image is chosen or it was moved, `changed` when the labels over it are
    other ones or have changed.
    """

    chosen = Signal()
    changed = Signal()

    def __init__(self, viewer: Any, events: ViewerEvents) -> None:
        super().__init__()
        self._viewer = viewer
        self.layer: Any = None
        self.source: LayerVolume | None = None
        self.refusal: str | None = None
        self._layers: list[Any] = []
        self._overlays: list[Any] = []
        self._over: Any = None
        self._sources: Sources | None = None
        self._projector: SlabProjector | None = None
        self.volume, self.overlay = QComboBox(), QComboBox()
        self._build()
        events.layers_changed.connect(self.list_layers)
        events.layer_moved.connect(self._choose)
        events.view_moved.connect(self._view_moved)
        self.volume.currentIndexChanged.connect(self._choose)
        self.overlay.currentIndexChanged.connect(self._choose_overlay)

    def sources(self) -> Sources | None:
        """Return what pictures are made of; None where the layer cannot be projected."""
        if self._projector is None or self.source is None:
            return None
        if self._sources is None:
            over = self._over
            labels = None if over is None else overlay_of(over, self.layer)
            colours = None if over is None else lambda values: layer_colours(over, values)
            self._sources = Sources(self._projector, labels, colours)
        return self._sources

    def list_layers(self) -> None:
        """Show the layers that there are now; what was chosen stays chosen."""
        layers = [layer for layer in self._viewer.layers if is_candidate(layer)]
        overlays = [layer for layer in self._viewer.layers if _can_lie_over(layer)]
        active = self._viewer.layers.selection.active
        current = self.layer if self.layer in layers else None
        current = current or (active if active in layers else None) or (layers[-1] if layers else None)
        new = [layer for layer in overlays if layer not in self._overlays and layer.visible]
        kept = self._over if self._over in overlays else None
        self._layers, self._overlays = layers, overlays
        _fill(self.volume, [layer.name for layer in layers], layers.index(current) if current else -1)
        over = new[-1] if new else kept
        _fill(
            self.overlay,
            [NOTHING, *[layer.name for layer in overlays]],
            overlays.index(over) + 1 if over is not None else 0,
        )
        self.volume.setEnabled(bool(layers))
        self._watch(over)
        if current is not self.layer or current is None:
            self._choose()
        else:
            self.labels_changed()

    def labels_changed(self, _event: Any = None) -> None:
        """Read the labels again: they may be other ones now."""
        self._sources = None
        self.changed.emit()

    def release(self) -> None:
        """Let go of the layers: the viewer is closing."""
        self._watch(None)
        self._follow_data(None)
        self.layer = None

    def _view_moved(self) -> None:
        """Take another time point or channel, where the layer has sliders for them."""
        if self.layer is not None and self.layer.ndim > 3:
            self._choose()

    def _choose(self, _index: int = 0) -> None:
        """Take the layer that is chosen; where nothing of it is new, what was read of it stays."""
        index = self.volume.currentIndex()
        layer = self._layers[index] if 0 <= index < len(self._layers) else None
        source, reason = None, OPEN_FIRST if layer is None else refusal(layer)
        if reason is None:
            try:
                source = volume_of(layer, current_steps(self._viewer, layer))
            except VesselKDError as error:
                reason = str(error)
        same = layer is self.layer and reason == self.refusal and _same(source, self.source)
        if same and source is not None:
            self._sources = None
            self.changed.emit()
            return
        self._follow_data(layer)
        self.layer, self.source, self.refusal = layer, source, reason
        self._projector = None if source is None else SlabProjector(source.volume)
        self._sources = None
        self.chosen.emit()

    def _follow_data(self, layer: Any) -> None:
        """Read the image again when its data are set, perhaps to the same array with other voxels."""
        if layer is self.layer:
            return
        if self.layer is not None:
            self.layer.events.data.disconnect(self._data_set)
        if layer is not None:
            layer.events.data.connect(self._data_set)

    def _data_set(self, _event: Any = None) -> None:
        if self._projector is not None:
            self._projector.forget()

    def _choose_overlay(self, _index: int = 0) -> None:
        index = self.overlay.currentIndex() - 1
        self._watch(self._overlays[index] if 0 <= index < len(self._overlays) else None)
        self.labels_changed()

    def _watch(self, layer: Any) -> None:
        """Follow the changes of the labels over the picture: strokes, blocks that were segmented."""
        if layer is self._over:
            return
        if self._over is not None:
            for emitter in _emitters(self._over):
                emitter.disconnect(self.labels_changed)
        self._over = layer
        if layer is not None:
            for emitter in _emitters(layer):
                emitter.connect(self.labels_changed)

    def _build(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        for text, combo, tip in (
            ("Volume", self.volume, "The image layer to project"),
            ("Over it", self.overlay, "Labels to draw over it: a prediction, corrections or codes"),
        ):
            combo.setToolTip(tip)
            combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            combo.setMinimumContentsLength(12)
            column.addWidget(labelled(text))
            column.addWidget(combo)


def overlay_of(labels: Any, image: Any) -> LabelOverlay | None:
    """Return the labels of a layer in the frame of an image layer; None where they are turned against it."""
    if labels.ndim < 2 or labels.ndim > 3:
        return None
    to_labels = np.linalg.inv(_matrix(placement(labels))) @ _matrix(placement(image))
    linear = to_labels[:3, :3]
    if not np.allclose(linear, np.diag(np.diag(linear)), atol=1e-6 * np.abs(linear).max()):
        return None
    scale, offset = np.diag(linear), to_labels[:3, 3]
    if (scale <= 0).any():
        return None
    return LabelOverlay(
        labels_volume(labels),
        (float(scale[0]), float(scale[1]), float(scale[2])),
        (float(offset[0]), float(offset[1]), float(offset[2])),
    )


def layer_colours(layer: Any, values: np.ndarray) -> dict[int, tuple[float, float, float, float]]:
    """Return the colour (red, green, blue, alpha, each 0..1) in which a labels layer shows each value."""
    colours = np.atleast_2d(layer.colormap.map(np.asarray(values)))
    return {
        int(value): (float(colour[0]), float(colour[1]), float(colour[2]), float(colour[3] * layer.opacity))
        for value, colour in zip(values, colours, strict=True)
        if int(value) != 0
    }


def _same(new: LayerVolume | None, old: LayerVolume | None) -> bool:
    """Return whether two volumes show the same arrays in the same voxel size."""
    if new is None or old is None:
        return new is old
    a, b = new.volume, old.volume
    arrays = zip(a.levels, b.levels, strict=False)
    return (
        len(a.levels) == len(b.levels)
        and all(_same_array(one, other) for one, other in arrays)
        and a.level_voxel_sizes_um == b.level_voxel_sizes_um
        and a.voxel_size_known == b.voxel_size_known
    )


def _same_array(one: Any, other: Any) -> bool:
    """Return whether two levels read the same voxels of the same array."""
    if isinstance(one, AxisView) and isinstance(other, AxisView):
        return (one.axes, one.fixed) == (other.axes, other.fixed) and _same_array(one.base, other.base)
    return one is other


def _matrix(place: Placement) -> np.ndarray:
    if place.affine is not None:
        return np.asarray(place.affine, dtype=float)
    matrix = np.diag([*place.scale, 1.0])
    matrix[:3, 3] = place.translate
    return matrix


def _emitters(layer: Any) -> list[Any]:
    return [emitter for name in CHANGES if (emitter := getattr(layer.events, name, None)) is not None]


def _can_lie_over(layer: Any) -> bool:
    """Return whether a layer's labels can cover a volume: a block and what is proposed are parts of one."""
    handle = shown_by(layer)
    part = layer.name.startswith(PROPOSALS) or (handle is not None and handle.block is not None)
    return type(layer).__name__ == "Labels" and not part


def _fill(combo: QComboBox, texts: list[str], current: int) -> None:
    blocker = QSignalBlocker(combo)
    combo.clear()
    combo.addItems(texts)
    combo.setCurrentIndex(current)
    blocker.unblock()

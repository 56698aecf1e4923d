"""The controls of painting on a projection; they paint a `PaintingPicture`."""

from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QLabel,
    QPushButton,
    QShortcut,
    QVBoxLayout,
    QWidget,
)

from napari_vesselkd.plugin import keymap
from napari_vesselkd.plugin.looking.annotating_state import PAINTS, PaintingPicture
from napari_vesselkd.plugin.parts import PRIMARY, Choice, ErrorPanel, Fact, row, set_quietly
from napari_vesselkd.plugin.run_panel import paint_button

KEYS = {"Vessel": keymap.VESSEL, "Background": keymap.BACKGROUND, "Erase": keymap.UNLABELLED}
LARGEST_BRUSH = 1000.0  # um
WIDER = 1.25  # factor of the brush for a step of the wheel
OPEN_ANOTHER = "Painted slabs…"


class AnnotateBar(QWidget):
    """Start to paint, choose what, finish.

    `started` asks for the projection that is shown (along an axis, if there are several), `opened` for the
    annotation of that number.

    Parameters
    ----------
    axes : sequence of str
        Those that can be painted on; with one there is nothing to choose.
    """

    started = Signal(str)
    opened = Signal(int)

    def __init__(self, axes: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.start, self.slabs = QPushButton(), QComboBox()
        self.axis = Choice([(axis, f"Paint on the projection along {axis}") for axis in axes or ("z",)])
        self.axis.setVisible(len(axes) > 1)
        self.value = Choice([(keymap.with_keys(name, KEYS[name]), KEYS[name].does) for name in PAINTS])
        self.brush = QDoubleSpinBox()
        self.undo = QPushButton(keymap.with_keys("Undo", keymap.UNDO))
        self.redo = QPushButton(keymap.with_keys("Redo", keymap.REDO))
        self.rest, self.show3d, self.take = QPushButton(), QPushButton(), QPushButton()
        self.accept, self.leave = QPushButton(), QPushButton("Close")
        self.facts, self.hint, self.error = Fact(), Fact(), ErrorPanel()
        self.tools = QWidget()
        self._build()
        self.start.clicked.connect(lambda: self.started.emit(self.axis.chosen))
        self.slabs.activated.connect(self._slab_chosen)
        self.shortcuts: list[Any] = []

    @property
    def label(self) -> int:
        """What the brush paints: 0, 1 or 2."""
        return PAINTS[self.value.chosen.split("  ")[0]]

    @property
    def radius_um(self) -> float:
        return float(self.brush.value()) / 2

    def bind_keys(self, around: QWidget) -> None:
        """Let the keys work wherever the focus is in `around`, which holds the pictures too."""
        calls = [(key, lambda name=name: self.choose(name)) for name, key in KEYS.items()]
        for key, call in (*calls, (keymap.UNDO, self.undo.click), (keymap.REDO, self.redo.click)):
            shortcut = QShortcut(QKeySequence(key.keys), around)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(call)
            shortcut.setEnabled(False)
            self.shortcuts.append(shortcut)

    def choose(self, name: str) -> None:
        """Paint with "Vessel", "Background" or "Erase"."""
        self.value.choose(keymap.with_keys(name, KEYS[name]))

    def resize_brush(self, steps: int) -> None:
        """Make the brush wider or narrower by steps of the wheel."""
        self.brush.setValue(max(self.brush.minimum(), self.brush.value() * WIDER**steps))

    def set_scale(self, pixel_um: float, known: bool) -> None:
        """Give the brush a size that suits pixels of `pixel_um`."""
        self.brush.setSuffix(" µm" if known else " voxels")
        self.brush.setSingleStep(pixel_um)
        self.brush.setMinimum(pixel_um)
        set_quietly(self.brush, "setValue", 6 * pixel_um)

    def list_slabs(self, slabs: list[tuple[int, str]]) -> None:
        """Offer the painted projections of the project."""
        self.slabs.blockSignals(True)
        self.slabs.clear()
        self.slabs.addItem(OPEN_ANOTHER, 0)
        for number, text in slabs:
            self.slabs.addItem(text, number)
        self.slabs.blockSignals(False)
        self.slabs.setVisible(bool(slabs))

    def show_picture(self, picture: PaintingPicture) -> None:
        """Show it."""
        self.start.setVisible(not picture.tools_visible)
        self.axis.setEnabled(not picture.tools_visible)
        self.slabs.setEnabled(picture.tools_enabled or not picture.tools_visible)
        self.tools.setVisible(picture.tools_visible)
        for button, state in (
            (self.start, picture.start),
            (self.rest, picture.rest),
            (self.show3d, picture.show),
            (self.take, picture.take),
            (self.accept, picture.accept),
        ):
            paint_button(button, state)
        self.undo.setEnabled(picture.undo)
        self.redo.setEnabled(picture.redo)
        self.leave.setEnabled(picture.tools_enabled)
        for control in (self.value, self.brush, *self.shortcuts):
            control.setEnabled(picture.tools_enabled)
        self.facts.show_text(picture.facts)
        self.hint.show_text(picture.hint)
        self.error.show_failure(picture.failure)

    def _slab_chosen(self, index: int) -> None:
        number = self.slabs.itemData(index)
        self.slabs.setCurrentIndex(0)
        if number:
            self.opened.emit(number)

    def _build(self) -> None:
        self.slabs.setToolTip("Go on with a projection that was painted before")
        self.slabs.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.slabs.setMinimumContentsLength(10)
        self.brush.setRange(0.1, LARGEST_BRUSH)
        self.brush.setDecimals(1)
        self.brush.setToolTip("Width of the brush; the wheel over the picture changes it too")
        self.undo.setToolTip(keymap.UNDO.does)
        self.redo.setToolTip(keymap.REDO.does)
        self.leave.setToolTip("Stop painting; it stays in the project as it is")
        self.accept.setObjectName(PRIMARY)
        inner = QVBoxLayout(self.tools)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(4)
        inner.addWidget(self.value)
        inner.addWidget(row(QLabel("Brush"), self.brush, self.rest))
        inner.addWidget(row(self.undo, self.redo))
        inner.addWidget(row(self.show3d, self.take))
        inner.addWidget(row(self.accept, self.leave))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(row(self.axis, self.start, self.slabs))
        for widget in (self.tools, self.facts, self.hint, self.error):
            column.addWidget(widget)

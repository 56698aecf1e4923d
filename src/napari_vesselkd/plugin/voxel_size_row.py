"""Three fields for the voxel size, z, y, x in um, and a choice of the resolution level."""

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QAbstractSpinBox, QDoubleSpinBox, QHBoxLayout, QLabel, QWidget

from napari_vesselkd.geometry import AXES, VoxelSize
from napari_vesselkd.plugin.parts import FACT, set_quietly

LARGEST_UM = 100_000.0


class SizeBox(QDoubleSpinBox):
    """One size in um without trailing zeros; 0 reads ``z ?``, not known."""

    def __init__(self, axis: str) -> None:
        super().__init__()
        self.setDecimals(5)
        self.setRange(0.0, LARGEST_UM)
        self.setPrefix(f"{axis} ")
        self.setSpecialValueText(f"{axis} ?")
        self.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
        self.setKeyboardTracking(False)
        self.setMinimumWidth(40)

    def textFromValue(self, value: float) -> str:
        return f"{value:.6g}"


class VoxelSizeRow(QWidget):
    """The voxel size; `typed` carries (z, y, x) in um once all three are known."""

    typed = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.boxes = [SizeBox(axis) for axis in AXES]
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        for box in self.boxes:
            row.addWidget(box, stretch=1)
            box.valueChanged.connect(self._changed)
        unit = QLabel("µm")
        unit.setObjectName(FACT)
        row.addWidget(unit)

    def show_size(self, size_um: VoxelSize | None, locked: str) -> None:
        """Show a size, None where it is not known; `locked` says why it cannot be typed, empty where it can.

        A size that is only partly typed stays as it is.
        """
        if size_um is not None:
            for box, size in zip(self.boxes, size_um, strict=True):
                if abs(box.value() - size) > 1e-5 * size:
                    set_quietly(box, "setValue", size)
        for axis, box in zip(AXES, self.boxes, strict=True):
            box.setEnabled(not locked)
            box.setToolTip(locked or f"Voxel size along {axis} in µm; the layer's scale follows")

    def forget(self) -> None:
        """Show nothing: another volume was chosen."""
        for box in self.boxes:
            set_quietly(box, "setValue", 0.0)

    def _changed(self) -> None:
        size: Sequence[float] = [box.value() for box in self.boxes]
        if all(value > 0 for value in size):
            z, y, x = size
            self.typed.emit((z, y, x))

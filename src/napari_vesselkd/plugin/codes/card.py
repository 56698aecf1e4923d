"""What is known of the chosen codes, and what the user says about them: name, colour, artefact."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QImage, QPixmap
from qtpy.QtWidgets import (
    QCheckBox,
    QColorDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_vesselkd.plugin.parts import Fact, Fold, set_quietly

DECODED = {
    "image": "reconstructed from a grid full of it",
    "vessel": "vessels from a grid full of it",
}
SIDE = 124  # pixels of a decoded picture


@dataclass(frozen=True)
class CardView:
    """Everything the card shows.

    Attributes
    ----------
    codes : tuple of int
        The chosen ones; the card is hidden without any.
    name, colour : str
        Of the first one; the name is empty without one.
    artefact : bool or None
        None where only some of them are artefacts.
    facts : str
    others : tuple of (code, text)
        Runner-ups at the place that was clicked.
    locked : str
        Why nothing can be said about codes; empty where it can.
    """

    codes: tuple[int, ...] = ()
    name: str = ""
    colour: str = "#808080"
    artefact: bool | None = False
    facts: str = ""
    others: tuple[tuple[int, str], ...] = ()
    locked: str = ""


class CodeCard(QWidget):
    """Paints a `CardView`; says what the user typed, chose or pressed.

    `named`: a name for the code. `coloured`: ``#rrggbb``, or "" for the one that goes with the number.
    `marked`: the codes are artefacts or not. `other_pressed`: a runner-up. `decode_asked`: what the decoder
    makes of the code is wanted.
    """

    named = Signal(str)
    coloured = Signal(str)
    marked = Signal(bool)
    other_pressed = Signal(int)
    decode_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.view = CardView()
        self._build()
        self.name.editingFinished.connect(self._name_typed)
        self.colour.clicked.connect(self._choose_colour)
        self.artefact.clicked.connect(self.marked)
        self.decoded.header.toggled.connect(self._decoded_opened)

    @property
    def wants_decoded(self) -> bool:
        """Whether the user looks at what the decoder makes of the code."""
        return bool(self.decoded.header.isChecked())

    def paint(self, view: CardView) -> None:
        """Show everything."""
        if view.codes != self.view.codes:
            self.show_decoded(())
        self.view = view
        self.setVisible(bool(view.codes))
        one = len(view.codes) == 1
        self.name.setVisible(one)
        if not self.name.hasFocus() or self.name.text() == "":
            set_quietly(self.name, "setText", view.name)
        self.colour.setStyleSheet(f"QToolButton {{ background: {view.colour}; border-radius: 3px; }}")
        state = Qt.CheckState.PartiallyChecked if view.artefact is None else Qt.CheckState.Unchecked
        set_quietly(self.artefact, "setTristate", view.artefact is None)
        set_quietly(self.artefact, "setCheckState", Qt.CheckState.Checked if view.artefact else state)
        for control in (self.name, self.colour, self.artefact):
            control.setEnabled(not view.locked)
        self.facts.show_text(view.facts)
        self.locked.show_text(view.locked, problem=True)
        self._show_others(view.others)
        self.decoded.setVisible(one)

    def show_decoded(self, pictures: Sequence[np.ndarray], head: str = "image", change: float = 0.0) -> None:
        """Show what the decoder makes of the code, (rows, columns) uint8 each; none hides them.

        `head`: "image" where it reconstructs, "vessel" where it segments; `change`: what the second picture
        shows at most.
        """
        shown = [*pictures, None, None]
        texts = (DECODED[head], f"one cell among the most used code changes up to {change:.2g}")
        for label, caption, text, picture in zip(self._pictures, self._captions, texts, shown, strict=False):
            label.setVisible(picture is not None)
            caption.show_text(text if picture is not None else "")
            if picture is not None:
                label.setPixmap(_pixmap(picture))
        self.waiting.show_text("" if pictures else "Decoding…")

    def _decoded_opened(self, opened: bool) -> None:
        if opened:
            self.decode_asked.emit()

    def _name_typed(self) -> None:
        if self.name.text().strip() != self.view.name:
            self.named.emit(self.name.text().strip())

    def _choose_colour(self) -> None:
        dialog = QColorDialog(QColor(self.view.colour), self)
        dialog.setWindowTitle("Colour of the code")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.colorSelected.connect(lambda colour: self.coloured.emit(colour.name()))
        dialog.open()

    def _show_others(self, others: Sequence[tuple[int, str]]) -> None:
        for button, other in zip(self._others, [*others, *[None] * len(self._others)], strict=False):
            button.setVisible(other is not None)
            if other is not None:
                button.setText(other[1])
                button.setProperty("code", other[0])
        self._others_title.setVisible(bool(others))

    # The widgets

    def _build(self) -> None:
        self.colour = QToolButton()
        self.colour.setFixedSize(24, 24)
        self.colour.setToolTip("The colour of the code")
        self.name = QLineEdit()
        self.name.setPlaceholderText("Name this code")
        self.name.setMaxLength(80)
        self.artefact = QCheckBox("Artefact")
        self.artefact.setToolTip("What has this code is no tissue: a mask and the review list take it")
        self.facts, self.locked, self.waiting = Fact(), Fact(), Fact()
        line = QHBoxLayout()
        line.setSpacing(6)
        line.addWidget(self.colour)
        line.addWidget(self.name, stretch=1)
        line.addWidget(self.artefact)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(line)
        column.addWidget(self.locked)
        column.addWidget(self.facts)
        column.addLayout(self._make_others())
        self.decoded = Fold("What the decoder makes of it", self._make_pictures())
        column.addWidget(self.decoded)
        self.setVisible(False)

    def _make_others(self) -> QHBoxLayout:
        line = QHBoxLayout()
        line.setSpacing(3)
        self._others_title = QLabel("Then")
        self._others = [QPushButton() for _ in range(4)]
        line.addWidget(self._others_title)
        for button in self._others:
            button.setStyleSheet("QPushButton { font-size: 11px; padding: 3px 1px; }")
            button.setToolTip("The next nearest code and its distance. Click: choose it")
            button.clicked.connect(lambda _=False, one=button: self.other_pressed.emit(one.property("code")))
            button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            line.addWidget(button, stretch=1)
        return line

    def _make_pictures(self) -> QWidget:
        inner = QWidget()
        row = QHBoxLayout(inner)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(6)
        self._pictures, self._captions = [QLabel(), QLabel()], [Fact(), Fact()]
        row.addWidget(self.waiting)
        for label, caption in zip(self._pictures, self._captions, strict=True):
            label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
            label.setMinimumWidth(SIDE)
            column = QVBoxLayout()
            column.setSpacing(2)
            column.addWidget(label)
            column.addWidget(caption)
            row.addLayout(column)
        return inner


def _pixmap(picture: np.ndarray) -> Any:
    rows, columns = picture.shape
    gray = np.ascontiguousarray(picture, dtype=np.uint8).tobytes()
    image = QImage(gray, columns, rows, columns, QImage.Format.Format_Grayscale8)
    mode = Qt.TransformationMode.SmoothTransformation
    return QPixmap.fromImage(image).scaled(SIDE, SIDE, Qt.AspectRatioMode.KeepAspectRatio, mode)

"""The queue's part of the Correct tab under the list: flag and note, reliability."""

from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_vesselkd.plugin import keymap
from napari_vesselkd.plugin.parts import Fact, Fold
from napari_vesselkd.plugin.reviewing.reliability_view import ReliabilityView
from napari_vesselkd.plugin.reviewing.state import QueuePicture
from napari_vesselkd.plugin.run_panel import paint_button

LONGEST_NOTE = 500


class QueuePanel(QWidget):
    """Paints a `QueuePicture`.

    `turned`: stop, or look again; `flagged`: on or off; `noted`: what the note is to be.
    """

    turned = Signal()
    flagged = Signal(bool)
    noted = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.status, self.notice, self.curve = Fact(), Fact(), Fact()
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setRange(0, 1000)
        self.bar.setMaximumHeight(5)
        self.turn = _button("")
        self.flag = _button("")
        self.flag.setCheckable(True)
        self.note = QLineEdit()
        self.note.setMaxLength(LONGEST_NOTE)
        self.note.setToolTip(f"{keymap.NOTE.does}; Enter keeps it, Esc leaves it as it was")
        self.note.setClearButtonEnabled(True)
        self.plot = ReliabilityView()
        self._note_key = QShortcut(QKeySequence(keymap.NOTE.keys), self)
        self._note_key.activated.connect(self._edit_note)
        self._kept = ""
        self.turn.clicked.connect(self.turned)
        self.flag.clicked.connect(self.flagged)
        self.note.editingFinished.connect(self._note_finished)
        self._lay_out()

    def paint(self, picture: QueuePicture) -> None:
        """Show everything; a note that is being written stays as it is."""
        self.status.show_text(picture.status)
        self.notice.show_text(picture.notice, problem=True)
        self.bar.setVisible(picture.share is not None)
        if picture.share is not None:
            self.bar.setValue(round(1000 * picture.share))
        self.turn.setVisible(picture.turn is not None)
        if picture.turn is not None:
            self.turn.setText(picture.turn.text)
            self.turn.setEnabled(picture.turn.enabled)
            self.turn.setToolTip(picture.turn.tooltip)
        paint_button(self.flag, picture.flag, keymap.FLAG)
        self.flag.setChecked(picture.flagged)
        self.note.setEnabled(picture.note_enabled)
        self.note.setPlaceholderText(keymap.with_keys(picture.note_hint, keymap.NOTE))
        if not self.note.hasFocus() or picture.note != self._kept:
            self.note.setText(picture.note)
        self._kept = picture.note
        self.plot.show_reliability(picture.reliability)
        self.curve.show_text(picture.curve)

    def keyPressEvent(self, event: Any) -> None:
        if event.key() == Qt.Key.Key_Escape and self.note.hasFocus():
            self.note.setText(self._kept)
            self.note.clearFocus()
            event.accept()
            return
        super().keyPressEvent(event)

    def _edit_note(self) -> None:
        if self.note.isEnabled():
            self.note.setFocus()
            self.note.selectAll()

    def _note_finished(self) -> None:
        text = self.note.text().strip()
        if text != self._kept:
            self._kept = text
            self.noted.emit(text)
        if self.note.hasFocus():
            self.note.clearFocus()

    def _lay_out(self) -> None:
        remarks = QHBoxLayout()
        remarks.setSpacing(4)
        self.note.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        remarks.addWidget(self.flag)
        remarks.addWidget(self.note, stretch=1)
        inside = QWidget()
        content = QVBoxLayout(inside)
        content.setContentsMargins(0, 0, 0, 0)
        content.setSpacing(3)
        for widget in (self.plot, self.curve):
            content.addWidget(widget)
        self.fold = Fold("How reliable the queue is", inside)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        work = QHBoxLayout()
        work.setSpacing(4)
        work.addWidget(self.status, stretch=1)
        work.addWidget(self.turn)
        column.addWidget(self.bar)
        column.addLayout(work)
        column.addWidget(self.notice)
        column.addLayout(remarks)
        column.addWidget(self.fold)


def _button(text: str) -> QPushButton:
    button = QPushButton(text)
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # a click must not take the keys away from the canvas
    return button

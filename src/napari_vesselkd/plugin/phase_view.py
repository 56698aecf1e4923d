"""The phases of a job in a row: done, going on, to come."""

from collections.abc import Sequence
from html import escape

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QSizePolicy

from napari_vesselkd.plugin.parts import FACT
from napari_vesselkd.plugin.stage_text import Phase, Where

MARKS = {Where.DONE: "✓", Where.NOW: "▸", Where.NEXT: "·"}


class PhaseRow(QLabel):
    """One line of small text; wraps where it does not fit."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName(FACT)
        self.setStyleSheet("font-size: 11px;")
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def show_phases(self, phases: Sequence[Phase]) -> None:
        """Show these phases; none take no room."""
        text = "&nbsp;&nbsp; ".join(_html(phase) for phase in phases)
        if text != self.text():
            self.setText(text)
        self.setVisible(bool(text))


def _html(phase: Phase) -> str:
    text = f"{MARKS[phase.where]}&nbsp;{escape(phase.title)}"
    return f"<b>{text}</b>" if phase.where is Where.NOW else text

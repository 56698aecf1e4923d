"""The widgets of the quality of the open block: they paint a `QualityPicture` and emit what was pressed."""

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_vesselkd.plugin.number_table import NumberTable
from napari_vesselkd.plugin.parts import (
    BAD,
    FACT,
    GOOD,
    STRONG,
    ErrorPanel,
    Fact,
    Fold,
    labelled,
    restyle,
    set_quietly,
    side_by_side,
)
from napari_vesselkd.plugin.quality_state import HEADINGS, Line, QualityPicture
from napari_vesselkd.plugin.run_panel import paint_button

TONES = {"good": GOOD, "bad": BAD, "plain": FACT}
ROWS = 6


class QualityPanel(QWidget):
    """A fold-out with the numbers of the open block and how far a second reviewer agrees."""

    pressed = Signal(str)
    chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.table = NumberTable(HEADINGS, ROWS, stretch=0, gap=10)
        self.cells = self.table.cells
        self.hint = Fact()
        self.estimate = self._button("estimate")
        self.who = QComboBox()
        self.who.setToolTip("Who else corrected this block")
        self.who.currentIndexChanged.connect(self.chosen)
        self.other = self._button("other")
        self.agreement, self.differs, self.second_hint = QLabel(), Fact(), Fact()
        self.agreement.setObjectName(STRONG)
        self.show_where, self.go = self._button("show"), self._button("go")
        self.show_where.setCheckable(True)
        self.error = ErrorPanel()
        self._lay_out()

    def paint(self, picture: QualityPicture) -> None:
        """Show everything."""
        self.setVisible(picture.visible)
        self._paint_table(picture.lines)
        self.hint.show_text(picture.hint)
        paint_button(self.estimate, picture.estimate)
        self.estimate.setVisible(picture.estimate_visible)
        names = [self.who.itemText(row) for row in range(self.who.count())]
        if names != list(picture.names):
            self.who.blockSignals(True)
            self.who.clear()
            self.who.addItems(list(picture.names))
            self.who.blockSignals(False)
        set_quietly(self.who, "setCurrentIndex", picture.chosen)
        self.who.setVisible(bool(picture.names))
        self.agreement.setText(picture.agreement)
        self.agreement.setVisible(bool(picture.agreement))
        self.differs.show_text(picture.differs)
        self.second_hint.show_text(picture.second_hint)
        for button, state in ((self.show_where, picture.show), (self.go, picture.go)):
            paint_button(button, state)
            button.setVisible(bool(picture.agreement))
        self.show_where.setChecked(picture.shown)
        paint_button(self.other, picture.other)
        self.error.show_failure(picture.failure)

    def _paint_table(self, lines: tuple[Line, ...]) -> None:
        self.table.setVisible(bool(lines))
        for row, labels in enumerate(self.cells):
            line = lines[row] if row < len(lines) else None
            for at, label in enumerate(labels):
                label.setVisible(line is not None)
                if line is not None:
                    label.setText((line.name, line.before, line.now, line.change)[at])
                    label.setToolTip(line.tooltip)
            if line is not None:
                restyle(labels[-1], TONES[line.tone])

    def _button(self, name: str) -> QPushButton:
        button = QPushButton()
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # a click must not take the keys away from the canvas
        button.clicked.connect(lambda: self.pressed.emit(name))
        return button

    def _lay_out(self) -> None:
        content = QWidget()
        inside = QVBoxLayout(content)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(3)
        for widget in (self.table, self.hint, self.estimate):
            inside.addWidget(widget)
        inside.addSpacing(4)
        inside.addLayout(side_by_side(labelled("Second reviewer"), self.other))
        for widget in (self.who, self.agreement, self.differs, self.second_hint):
            inside.addWidget(widget)
        inside.addLayout(side_by_side(self.show_where, self.go))
        inside.addWidget(self.error)
        self.fold = Fold("Quality of this block", content, open_=True)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.fold)

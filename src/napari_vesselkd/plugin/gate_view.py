"""The gate in the dock: the new checkpoint against the current one, and the two buttons that decide."""

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_vesselkd.plugin.judgement import GatePicture
from napari_vesselkd.plugin.number_table import NumberTable
from napari_vesselkd.plugin.parts import BAD, GOOD, LINK, PRIMARY, STRONG, Fact, labelled, restyle
from napari_vesselkd.plugin.run_panel import paint_button

TONES = {"good": GOOD, "bad": BAD, "plain": STRONG}
HEADINGS = ("", "current", "new", "gain")


class GateView(QWidget):
    """Paints a `GatePicture`; emits what was pressed."""

    promote_pressed = Signal()
    keep_pressed = Signal()
    worst_pressed = Signal()
    again_pressed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.title = labelled("")
        self.verdict = QLabel()
        self.verdict.setWordWrap(True)
        self.verdict.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.table = NumberTable(HEADINGS, 2, stretch=3, gap=6)
        self.cells = self.table.cells
        for labels in self.cells:
            labels[-1].setStyleSheet("font-size: 11px;")  # the interval has to fit in a narrow dock
        self.basis, self.decided = Fact(), Fact()
        self.worst = QPushButton()
        self.worst.setObjectName(LINK)
        self.promote, self.keep = QPushButton("Promote"), QPushButton("Keep current")
        self.again = QPushButton("Segment again…")
        self.again.setToolTip("Go to the Segment tab: only the region you ask for is computed again")
        self._lay_out()
        self.promote.clicked.connect(self.promote_pressed)
        self.keep.clicked.connect(self.keep_pressed)
        self.worst.clicked.connect(self.worst_pressed)
        self.again.clicked.connect(self.again_pressed)

    def paint(self, picture: GatePicture | None) -> None:
        """Show everything; None hides the gate."""
        self.setVisible(picture is not None)
        if picture is None:
            return
        self.title.setText(picture.title)
        self.verdict.setText(picture.verdict)
        restyle(self.verdict, TONES[picture.tone])
        self.table.setVisible(bool(picture.rows))
        for labels, texts in zip(self.cells, picture.rows, strict=False):
            for label, text in zip(labels, texts, strict=True):
                label.setText(text)
        self.basis.show_text(picture.basis)
        self.worst.setVisible(picture.worst is not None)
        if picture.worst is not None:
            paint_button(self.worst, picture.worst)
        paint_button(self.promote, picture.promote)
        paint_button(self.keep, picture.keep)
        restyle(self.promote, PRIMARY if picture.promote_first else "")
        self.decided.show_text(picture.decided)
        self.again.setVisible(picture.segment_again)

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        buttons = QHBoxLayout()
        buttons.setSpacing(4)
        buttons.addWidget(self.promote, stretch=1)
        buttons.addWidget(self.keep, stretch=1)
        for widget in (self.title, self.verdict, self.table, self.basis, self.worst):
            column.addWidget(widget)
        column.addLayout(buttons)
        column.addWidget(self.decided)
        column.addWidget(self.again)

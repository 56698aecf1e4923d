"""The list of blocks in the Correct tab: state, place, why it is listed."""

from typing import Any

from qtpy.QtCore import QRect, QSignalBlocker, QSize, Qt, QTimer, Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QHeaderView, QTreeWidget, QTreeWidgetItem

from napari_vesselkd.plugin.reviewing.rows import Row

COLOURS = {"open": "#ff9a2e", "accepted": "#5fc97a", "skipped": "#8a8f98", "": "transparent"}
DOT = 10
WHY_AT, MARGIN = 2, 8  # the column of the reasons; what of it is not text
ROWS = 6  # that are seen at once; fewer take less room
WHY = (
    "What strikes about a block, the strongest first: point at a row for all of it. "
    "In the order of the entropy: its mean in bits, 0 sure, 1 a guess."
)


class ReviewList(QTreeWidget):
    """Rows of blocks; `chosen`: a row was selected by hand; `opened`: Enter or a double click on one."""

    chosen = Signal(int)
    opened = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._rows: tuple[Row, ...] = ()
        self._icons = {kind: _dot(colour) for kind, colour in COLOURS.items()}
        self.setColumnCount(3)
        self.setHeaderLabels(["State", "z · y · x", "Why"])
        self.headerItem().setToolTip(2, WHY)
        self.setRootIsDecorated(False)
        self.setWordWrap(True)  # the reasons take two lines where the dock is narrow
        self.setAlternatingRowColors(False)
        self.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header = self.header()
        header.setStretchLastSection(True)
        header.setMinimumSectionSize(40)
        for column in (0, 1):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        header.sectionResized.connect(lambda *_: QTimer.singleShot(0, self._fit))
        self.itemSelectionChanged.connect(self._chosen)
        self.itemActivated.connect(lambda item, _column: self.opened.emit(self.indexOfTopLevelItem(item)))

    def show_rows(self, rows: tuple[Row, ...], selected: int) -> None:
        """Show these rows and select one, without a signal."""
        blocker = QSignalBlocker(self)
        if len(rows) != len(self._rows):
            self.clear()
            self.addTopLevelItems([QTreeWidgetItem() for _ in rows])
            self._rows = ()
        for index, row in enumerate(rows):
            if not self._rows or self._rows[index] != row:
                self._fill(self.topLevelItem(index), row)
        self._rows = rows
        self._fit()
        if 0 <= selected < len(rows) and self.currentIndex().row() != selected:
            item = self.topLevelItem(selected)
            self.setCurrentItem(item)
            self.scrollToItem(item)
        elif selected < 0:
            self.setCurrentItem(None)
            self.clearSelection()
        blocker.unblock()
        self.viewport().update()

    def _fit(self) -> None:
        """Take the height of the rows, of six at most."""
        self._wrap()
        rows = sum(self.sizeHintForRow(row) for row in range(min(len(self._rows), ROWS)))
        self.setFixedHeight(self.header().sizeHint().height() + rows + 2 * self.frameWidth())

    def _wrap(self) -> None:
        """Give rows the height that their reasons need in a column of this width: Qt's lists do not."""
        metrics, room = self.fontMetrics(), max(40, self.columnWidth(WHY_AT) - MARGIN)
        for index, row in enumerate(self._rows):
            box = QRect(0, 0, room, 1000)
            text = metrics.boundingRect(box, int(Qt.TextFlag.TextWordWrap), row.why or " ")
            self.topLevelItem(index).setSizeHint(WHY_AT, QSize(0, text.height()))

    def _fill(self, item: Any, row: Row) -> None:
        for column, text in enumerate((row.state, row.place, row.why)):
            item.setText(column, text)
            item.setToolTip(column, row.tooltip)
        item.setIcon(0, self._icons.get(row.kind, self._icons[""]))

    def _chosen(self) -> None:
        items = self.selectedItems()
        if items:
            self.chosen.emit(self.indexOfTopLevelItem(items[0]))


def _dot(colour: str) -> QIcon:
    picture = QPixmap(DOT, DOT)
    picture.fill(QColor(colour))
    return QIcon(picture)

"""The table of codes: a row for each code that is used, sorted by any column, chosen with the mouse."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from qtpy.QtCore import (
    QAbstractTableModel,
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QSize,
    Qt,
    Signal,
)
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

HEIGHT = 190
FONT = 11  # pixels
CODE_WIDTH = 70  # pixels of the code and its name
RIGHT = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)


@dataclass(frozen=True, eq=False)
class Column:
    """A column of the table.

    Attributes
    ----------
    title, tip : str
    text : str
        How a value is written, for `str.format`.
    values : ndarray (N,)
        Of every code; NaN where nothing can be said.
    """

    title: str
    tip: str
    text: str
    values: np.ndarray


class CodeTableModel(QAbstractTableModel):
    """Codes in rows; the first column is the code with its name and colour."""

    def __init__(self) -> None:
        super().__init__()
        self.codes = np.zeros(0, np.int64)
        self.columns: tuple[Column, ...] = ()
        self._names: Sequence[str] = ()
        self._colours: Sequence[str] = ()
        self._sorted = (1, Qt.SortOrder.DescendingOrder)

    def show(self, columns: Sequence[Column], codes: np.ndarray) -> None:
        """Show these columns of these codes."""
        self.beginResetModel()
        self.columns, self.codes = tuple(columns), np.asarray(codes)
        self._order()
        self.endResetModel()

    def dress(self, colours: Sequence[str], names: Sequence[str]) -> None:
        self.beginResetModel()
        self._colours, self._names = colours, names
        self.endResetModel()

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self.codes)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else 1 + len(self.columns)

    def headerData(self, section: int, way: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if way != Qt.Orientation.Horizontal or section > len(self.columns):
            return None
        column = self.columns[section - 1] if section else None
        if role == Qt.ItemDataRole.DisplayRole:
            return column.title if column else "code"
        tip = role == Qt.ItemDataRole.ToolTipRole
        return (column.tip if column else "Code and its name") if tip else None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        code = int(self.codes[index.row()])
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(code, index.column())
        if role == Qt.ItemDataRole.DecorationRole and index.column() == 0 and code < len(self._colours):
            return QColor(self._colours[code])
        return RIGHT if role == Qt.ItemDataRole.TextAlignmentRole and index.column() else None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        self.layoutAboutToBeChanged.emit()
        self._sorted = (column, order)
        self._order()
        self.layoutChanged.emit()

    def _order(self) -> None:
        column, order = self._sorted
        values = (
            self.columns[column - 1].values[self.codes] if 0 < column <= len(self.columns) else self.codes
        )
        keys = values if order == Qt.SortOrder.AscendingOrder else -values
        self.codes = self.codes[np.lexsort((self.codes, np.where(np.isfinite(keys), keys, np.inf)))]

    def _text(self, code: int, column: int) -> str:
        if column == 0:
            return f"{code} {self._names[code]}".strip() if code < len(self._names) else str(code)
        value = self.columns[column - 1].values[code]
        return self.columns[column - 1].text.format(value) if np.isfinite(value) else ""


class CodeTableView(QTableView):
    """Shows a `CodeTableModel`; `chosen_pressed` carries the codes of the rows that the user selected."""

    chosen_pressed = Signal(tuple, bool)

    def __init__(self) -> None:
        super().__init__()
        self.codes = CodeTableModel()
        self.setModel(self.codes)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setSortingEnabled(True)
        self.sortByColumn(1, Qt.SortOrder.DescendingOrder)
        self.setFixedHeight(HEIGHT)
        self.setStyleSheet(f"QTableView, QHeaderView {{ font-size: {FONT}px; }}")
        self.setShowGrid(False)
        self.verticalHeader().setVisible(False)
        self.verticalHeader().setDefaultSectionSize(20)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.setIconSize(QSize(10, 10))
        self.codes.modelReset.connect(self._fit)
        self.horizontalHeader().setMinimumSectionSize(36)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._following = False
        self.selectionModel().selectionChanged.connect(self._selected)

    def _fit(self) -> None:
        """Give the code and its name more room than a number."""
        if self.codes.columns:
            self.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Fixed)
            self.setColumnWidth(0, CODE_WIDTH)

    def show_chosen(self, codes: Sequence[int]) -> None:
        """Select the rows of these codes, and bring the first one into view."""
        rows = [row for row, code in enumerate(self.codes.codes.tolist()) if code in set(codes)]
        selection, last = QItemSelection(), self.codes.columnCount() - 1
        for row in rows:
            selection.select(self.codes.index(row, 0), self.codes.index(row, last))
        self._following = True
        self.selectionModel().select(selection, QItemSelectionModel.SelectionFlag.ClearAndSelect)
        self._following = False
        if rows:
            self.scrollTo(self.codes.index(rows[0], 0))

    def _selected(self, _on: Any, _off: Any) -> None:
        if not self._following:
            rows = sorted(index.row() for index in self.selectionModel().selectedRows())
            self.chosen_pressed.emit(tuple(int(self.codes.codes[row]) for row in rows), False)

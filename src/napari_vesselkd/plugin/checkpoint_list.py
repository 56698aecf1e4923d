"""The list of a project's checkpoints, with the way back to any of them."""

from collections.abc import Sequence

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_vesselkd.plugin.lineage import Entry
from napari_vesselkd.plugin.parts import STRONG, Fact, labelled

ROWS_SHOWN = 5


class CheckpointList(QWidget):
    """Lists entries; `use_pressed` carries the name of the one to use from now on."""

    use_pressed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.entries: tuple[Entry, ...] = ()
        self._locked = ""
        self.list = QListWidget()
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setSpacing(1)
        self.use = QPushButton("Use this one")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        for widget in (labelled("Checkpoints"), self.list, self.use):
            column.addWidget(widget)
        self.list.currentRowChanged.connect(lambda _: self._paint_button())
        self.use.clicked.connect(self._use)
        self._paint_button()

    def show_entries(self, entries: Sequence[Entry], locked: str) -> None:
        """Show these checkpoints; `locked` says why none can be chosen, empty where one can."""
        self._locked = locked
        if tuple(entries) != self.entries:
            chosen = self._chosen()
            self.entries = tuple(entries)
            self.list.clear()
            for entry in self.entries:
                self._add(entry)
            names = [entry.name for entry in self.entries]
            at = names.index(chosen.name) if chosen is not None and chosen.name in names else -1
            self.list.setCurrentRow(at)
            self._fit()
        self.setVisible(bool(self.entries))
        self._paint_button()

    def _add(self, entry: Entry) -> None:
        row = QWidget()
        lines = QVBoxLayout(row)
        lines.setContentsMargins(6, 3, 6, 3)
        lines.setSpacing(0)
        title = QLabel(f"✓ {entry.title} · in use" if entry.current else entry.title)
        title.setObjectName(STRONG if entry.current else "")
        lines.addWidget(title)
        detail = Fact(entry.detail)
        lines.addWidget(detail)
        for label in (title, detail):
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.NoTextInteraction)
        detail.setWordWrap(False)
        row.setToolTip(entry.detail)
        row.setStyleSheet("background: transparent;")
        item = QListWidgetItem()
        lines_shown = 1 + len(entry.detail.splitlines())
        item.setSizeHint(QSize(0, lines_shown * (self.list.fontMetrics().lineSpacing() + 2) + 10))
        self.list.addItem(item)
        self.list.setItemWidget(item, row)

    def _fit(self) -> None:
        heights = [self.list.sizeHintForRow(row) + 2 for row in range(min(ROWS_SHOWN, self.list.count()))]
        self.list.setFixedHeight(sum(heights) + 6)

    def _chosen(self) -> Entry | None:
        row = self.list.currentRow()
        return self.entries[row] if 0 <= row < len(self.entries) else None

    def _paint_button(self) -> None:
        chosen = self._chosen()
        if self._locked:
            reason = self._locked
        elif chosen is None:
            reason = "Choose a checkpoint of the list"
        elif chosen.current:
            reason = "It is in use"
        elif chosen.teacher:
            reason = "It is a teacher: new students begin with it; to segment with it, choose it on Segment"
        else:
            reason = ""
        self.use.setEnabled(not reason)
        name = chosen.title if chosen is not None else ""
        self.use.setToolTip(reason or f"Use {name} from now on; the others stay in the list")

    def _use(self) -> None:
        chosen = self._chosen()
        if chosen is not None:
            self.use_pressed.emit(chosen.name)

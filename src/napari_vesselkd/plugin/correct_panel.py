"""The widgets of the Correct tab: they paint a `CorrectPicture` and emit what the user pressed."""

from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QIcon, QKeySequence, QPainter, QPixmap, QShortcut
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_vesselkd.plugin import keymap
from napari_vesselkd.plugin.block_layer import BACKGROUND, UNLABELLED, VESSEL
from napari_vesselkd.plugin.correct_state import COVERED, SIDE, CorrectPicture
from napari_vesselkd.plugin.parts import (
    PRIMARY,
    SECTION,
    Choice,
    ErrorPanel,
    Fact,
    NoticePanel,
    labelled,
    side_by_side,
)
from napari_vesselkd.plugin.region_picker import RegionPicker
from napari_vesselkd.plugin.reviewing.list_view import ReviewList
from napari_vesselkd.plugin.reviewing.orders import EXPLAINED, ORDERS
from napari_vesselkd.plugin.reviewing.panel import QueuePanel
from napari_vesselkd.plugin.run_panel import paint_button
from napari_vesselkd.plugin.segment_state import Where
from napari_vesselkd.plugin.tools.panel import ToolsPanel

HERE, BOX = "Amid the view", "A box"
LEGEND = (
    (VESSEL, "vessel", keymap.VESSEL, "#ff9a2e"),
    (BACKGROUND, "background", keymap.BACKGROUND, "#5a8fc8"),
    (UNLABELLED, "unlabelled", keymap.UNLABELLED, ""),
)


class CorrectPanel(QWidget):
    """List of blocks, the open block with its tools, another region.

    Attributes
    ----------
    quality, anywhere : QVBoxLayout
        Empty places: for the quality of the open block, and for painting with no block open.
    """

    pressed = Signal(str)
    label_pressed = Signal(int)

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self.list = ReviewList()
        self.queue = QueuePanel()
        self.order = QComboBox()
        for text, order in ORDERS:
            self.order.addItem(text, order)
        self.order.setToolTip(EXPLAINED)
        self.locked, self.summary, self.list_hint = Fact(), Fact(), Fact()
        self.previous, self.next, self.open = (self._button(k, s) for k, s in _MOVES)
        self.title, self.block_fact, self.saved, self.covered = QLabel(), Fact(), Fact(), Fact(COVERED)
        self.title.setObjectName(SECTION)
        self.undo, self.redo, self.accept, self.skip = (self._button(k, s) for k, s in _WORK)
        self.accept.setObjectName(PRIMARY)
        self.go_on = QCheckBox("Go on after Accept or Skip")
        self.go_on.setToolTip("To the next block of the list")
        self.go_on.setChecked(True)
        self.legend = self._make_legend()
        self.tools = ToolsPanel()
        self.quality, self.anywhere = QVBoxLayout(), QVBoxLayout()
        self.error, self.notices = ErrorPanel(), NoticePanel()
        self.where = Choice(
            [
                (HERE, "Centred on the middle of the view; with the key, on the cursor"),
                (BOX, "A box that you type or draw"),
            ]
        )
        self.side = QSpinBox()
        self.side.setRange(32, 256)
        self.side.setSingleStep(32)
        self.side.setValue(SIDE)
        self.side.setSuffix(" voxels")
        self.side.setToolTip("Side of a block, of the list too; clipped at the border of the volume")
        self.region = RegionPicker(viewer)
        self.region.choice.setVisible(False)
        self.where.changed.connect(self._follow_choice)
        self.here = Fact()
        self.edit = self._button("edit", None)
        self._edit_key = QShortcut(QKeySequence(keymap.EDIT_HERE.keys), self.edit)
        self._edit_key.activated.connect(lambda: self.pressed.emit("edit at cursor"))
        self._lay_out()

    def paint(self, picture: CorrectPicture) -> None:
        """Show everything."""
        self.locked.show_text(picture.locked)
        self.list.show_rows(picture.rows, picture.selected)
        self.list.setVisible(bool(picture.rows))
        self.summary.show_text(picture.summary)
        self.summary.setToolTip(picture.held_out)
        self.list_hint.show_text(picture.list_hint)
        for button, state, shortcut in (
            (self.previous, picture.previous, keymap.PREVIOUS),
            (self.next, picture.next, keymap.NEXT),
            (self.open, picture.open, keymap.REOPEN),
            (self.accept, picture.accept, keymap.ACCEPT),
            (self.skip, picture.skip, keymap.SKIP),
        ):
            paint_button(button, state, shortcut)
        for button, state, shortcut in (
            (self.undo, picture.undo, keymap.UNDO),
            (self.redo, picture.redo, keymap.REDO),
            (self.edit, picture.edit, keymap.EDIT_HERE),
        ):  # their keys are bound elsewhere: bound twice, neither would work
            button.setText(keymap.with_keys(state.text, shortcut))
            button.setEnabled(state.enabled)
            button.setToolTip(state.tooltip)
        self._edit_key.setEnabled(picture.edit.enabled)
        self.here.show_text(picture.here, problem=picture.here_is_problem)
        self.region.setVisible(self.where.chosen == BOX)
        self._paint_block(picture)

    def put_away_box(self) -> None:
        """Go back to the middle of the view; the drawn box is taken out of the viewer."""
        self.where.choose(HERE)
        self._follow_choice(HERE)

    def _follow_choice(self, chosen: str) -> None:
        self.region.choose(Where.BOX if chosen == BOX else Where.VIEW)

    def _paint_block(self, picture: CorrectPicture) -> None:
        self.title.setText(picture.block_title)
        self.block_fact.show_text(picture.block_fact)
        self.covered.setVisible(picture.block_visible)
        self.legend.setEnabled(picture.tools_enabled)
        self.labels.setExclusive(False)
        for value, *_ in LEGEND:
            self.labels.button(value).setChecked(value == picture.painting)
        self.labels.setExclusive(True)
        self.saved.show_text(picture.saved)
        self.error.show_failure(picture.failure)
        self.notices.show_notices(picture.notices)

    def _button(self, name: str, shortcut: keymap.Shortcut | None) -> QPushButton:
        button = QPushButton()
        if shortcut is not None and shortcut not in keymap.PAINTING:
            button.setShortcut(QKeySequence(shortcut.keys))
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # a click must not take the keys away from the canvas
        button.clicked.connect(lambda: self.pressed.emit(name))
        return button

    def _make_legend(self) -> QWidget:
        rows = QWidget()
        line = QHBoxLayout(rows)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(2)
        self.labels = QButtonGroup(self)
        for value, name, shortcut, colour in LEGEND:
            button = QPushButton(f"{value} {name}\n({shortcut.keys})")
            button.setIcon(_swatch(colour))
            button.setCheckable(True)
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            button.setToolTip(f"{shortcut.does}: label {value}")
            self.labels.addButton(button, value)
            line.addWidget(button)
        self.labels.idClicked.connect(self.label_pressed)
        return rows

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 8, 10, 8)
        column.setSpacing(3)
        column.addWidget(self.locked)
        column.addLayout(side_by_side(labelled("Blocks to review"), self.order))
        for widget in (self.list, self.summary, self.list_hint):
            column.addWidget(widget)
        column.addLayout(side_by_side(self.previous, self.next, self.open))
        column.addWidget(self.queue)
        column.addSpacing(8)
        column.addWidget(self.title)
        column.addWidget(self.block_fact)
        column.addWidget(self.legend)
        column.addWidget(self.tools)
        column.addLayout(side_by_side(self.undo, self.redo))
        column.addLayout(side_by_side(self.accept, self.skip, stretches=(2, 1)))
        for widget in (self.saved, self.error, self.notices):
            column.addWidget(widget)
        column.addLayout(self.quality)
        column.addWidget(self.covered)
        column.addWidget(self.go_on)
        column.addSpacing(8)
        column.addLayout(side_by_side(labelled("Another region"), self.side))
        for widget in (self.where, self.region, self.here, self.edit):
            column.addWidget(widget)
        column.addLayout(self.anywhere)
        column.addStretch(1)


_MOVES = (("previous", keymap.PREVIOUS), ("next", keymap.NEXT), ("open", keymap.REOPEN))
_WORK = (
    ("undo", keymap.UNDO),
    ("redo", keymap.REDO),
    ("accept", keymap.ACCEPT),
    ("skip", keymap.SKIP),
)


def _swatch(colour: str) -> QIcon:
    """Return a square of one label's colour; an empty frame for no label."""
    picture = QPixmap(12, 12)
    picture.fill(QColor(colour or "transparent"))
    if not colour:
        painter = QPainter(picture)
        painter.setPen(QColor("#8a8f98"))
        painter.drawRect(0, 0, 11, 11)
        painter.end()
    return QIcon(picture)

"""The tools' part of the Correct tab: a grid of buttons, what to do, and what is proposed."""

from collections.abc import Mapping
from typing import Any

from qtpy.QtCore import QRect, QSize, Qt, QTimer, Signal
from qtpy.QtGui import QFont, QPainter
from qtpy.QtWidgets import (
    QCheckBox,
    QDoubleSpinBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QStyle,
    QStyleOptionButton,
    QStylePainter,
    QVBoxLayout,
    QWidget,
)

from napari_vesselkd.plugin import keymap
from napari_vesselkd.plugin.parts import NOTICE, PRIMARY, SECTION, ErrorPanel, Fact, scroll_to, set_quietly
from napari_vesselkd.plugin.run_panel import paint_button
from napari_vesselkd.plugin.segment_state import Button
from napari_vesselkd.plugin.tools.catalogue import TOOLS, Option, Tool
from napari_vesselkd.plugin.tools.icons import SIDE, picture
from napari_vesselkd.plugin.tools.state import ToolsPicture

COLUMNS = 5
HEIGHT = 44
SIGNS = {"Shift+": "\N{UPWARDS WHITE ARROW}", "Enter": "\N{RETURN SYMBOL}"}


class ToolButton(QPushButton):
    """A tool: its picture, its name, its key in the corner."""

    def __init__(self, tool: Tool) -> None:
        super().__init__()
        self.tool = tool
        self._picture = picture(tool.name)
        self._key = tool.shortcut.keys.replace("Shift+", SIGNS["Shift+"])
        self.setAccessibleName(tool.title)
        self.setCheckable(True)
        self.setFixedHeight(HEIGHT)
        self.setMinimumWidth(40)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setToolTip(f"{tool.shortcut.does}  ({tool.shortcut.keys})")

    def sizeHint(self) -> QSize:
        return QSize(60, HEIGHT)

    def paintEvent(self, _event: Any) -> None:
        painter = QStylePainter(self)
        look = QStyleOptionButton()
        self.initStyleOption(look)
        painter.drawControl(QStyle.ControlElement.CE_PushButtonBevel, look)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        if not self.isEnabled():
            painter.setOpacity(0.4)
        painter.drawPixmap((self.width() - SIDE) // 2, 4, self._picture)
        painter.setPen(self.palette().buttonText().color())
        font = QFont(self.font())
        font.setPixelSize(11)
        painter.setFont(font)
        centre = Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(QRect(0, SIDE + 5, self.width(), HEIGHT - SIDE - 7), centre, self.tool.title)
        font.setPixelSize(9)
        painter.setFont(font)
        painter.setOpacity(painter.opacity() * 0.75)
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop
        painter.drawText(self.rect().adjusted(0, 3, -4, 0), right, self._key)


class ToolsPanel(QWidget):
    """Paints a `ToolsPicture`.

    `chosen` carries a tool's name, `pressed` what to do with a proposal, `option_set` tool, option, number.
    """

    chosen = Signal(str)
    pressed = Signal(str)
    option_set = Signal(str, str, float)

    def __init__(self) -> None:
        super().__init__()
        self.title = QLabel()
        self.title.setObjectName(SECTION)
        self.title.setWordWrap(True)
        self.buttons = {tool.name: ToolButton(tool) for tool in TOOLS}
        for name, button in self.buttons.items():
            button.clicked.connect(lambda _checked=False, name=name: self.chosen.emit(name))
        self.line, self.message, self.proposal = Fact(), Fact(), QLabel()
        self.proposal.setWordWrap(True)
        self.proposal.setTextFormat(Qt.TextFormat.PlainText)
        self.apply, self.discard, self.reject, self.another, self.apply_all = (
            self._button(name) for name in ("apply", "discard", "reject", "another", "show_all")
        )
        self.again = self._button("propose_rejected")
        self.apply.setObjectName(PRIMARY)
        self._shown = ""
        self.options: dict[str, Any] = {}
        self._shown_options: tuple[str, tuple[Option, ...]] = ("", ())
        self._options_row = QWidget()
        self._options_layout = QGridLayout(self._options_row)
        self.card = QFrame()
        self.card.setObjectName(NOTICE)
        self.error = ErrorPanel()
        self._lay_out()

    def paint(self, picture_: ToolsPicture, values: Mapping[str, Mapping[str, float]]) -> None:
        """Show everything; `values` are the numbers of the tools."""
        self.title.setText(picture_.title)
        for name, button in self.buttons.items():
            button.setEnabled(picture_.enabled)
            button.setChecked(name == picture_.checked)
            does = f"{button.tool.shortcut.does}  ({button.tool.shortcut.keys})"
            button.setToolTip(picture_.why or does)
        for line, here in ((self.line, picture_.in_hand), (self.message, not picture_.in_hand)):
            line.show_text(picture_.line if here else "", problem=picture_.line_is_problem)
        self.proposal.setText(picture_.proposal)
        self.proposal.setVisible(bool(picture_.proposal))
        self.card.setVisible(picture_.in_hand)
        for widget in (self.reject, self.another, self.apply_all):
            widget.setVisible(picture_.walking and bool(picture_.proposal))
        self.apply.setVisible(bool(picture_.proposal))
        for widget, state, shortcut in (
            (self.apply, picture_.apply, keymap.APPLY),
            (self.discard, picture_.discard, keymap.DISCARD),
            (self.reject, picture_.reject, keymap.REJECT),
            (self.another, picture_.another, keymap.ANOTHER),
            (self.apply_all, picture_.apply_all, keymap.APPLY_ALL),
        ):
            _paint_button(widget, state, shortcut)
        self.again.setVisible(picture_.again is not None)
        if picture_.again is not None:
            paint_button(self.again, picture_.again)
        self._paint_options(picture_, values)
        if picture_.proposal and picture_.proposal != self._shown:
            QTimer.singleShot(0, lambda: scroll_to(self.card))
        self._shown = picture_.proposal
        self.error.show_failure(picture_.failure)

    def _paint_options(self, picture_: ToolsPicture, values: Mapping[str, Mapping[str, float]]) -> None:
        wanted = (picture_.checked, picture_.options)
        if wanted != self._shown_options:
            self._shown_options = wanted
            self._make_options(*wanted)
        for name, widget in self.options.items():
            value = values[picture_.checked][name]
            if isinstance(widget, QCheckBox):
                set_quietly(widget, "setChecked", bool(value))
            elif widget.value() != value and not widget.hasFocus():
                set_quietly(widget, "setValue", value)
        self._options_row.setVisible(bool(picture_.options))

    def _make_options(self, tool: str, options: tuple[Option, ...]) -> None:
        while self._options_layout.count():
            widget = self._options_layout.takeAt(0).widget()
            if widget is not None:
                widget.setParent(None)
                widget.deleteLater()
        self.options = {}
        for row, option in enumerate(options):
            widget = self.options[option.name] = self._make_option(tool, option)
            if option.switch:
                self._options_layout.addWidget(widget, row, 0, 1, 2)
            else:
                self._options_layout.addWidget(Fact(option.text), row, 0)
                self._options_layout.addWidget(widget, row, 1)

    def _make_option(self, tool: str, option: Option) -> Any:
        if option.switch:
            check = QCheckBox(option.text)
            check.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            check.toggled.connect(lambda on: self.option_set.emit(tool, option.name, float(on)))
            check.setToolTip(option.tip)
            return check
        box = QDoubleSpinBox()
        box.setDecimals(option.decimals)
        box.setRange(option.low, option.high)
        box.setSuffix(option.suffix)
        box.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
        box.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
        box.setKeyboardTracking(False)
        box.setFixedWidth(90)
        box.setToolTip(option.tip)
        box.valueChanged.connect(lambda value: self.option_set.emit(tool, option.name, value))
        return box

    def _button(self, name: str) -> QPushButton:
        button = QPushButton()
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # a click must not take the keys away from the canvas
        button.clicked.connect(lambda: self.pressed.emit(name))
        return button

    def _lay_out(self) -> None:
        grid = QGridLayout()
        grid.setSpacing(3)
        for index, button in enumerate(self.buttons.values()):
            grid.addWidget(button, index // COLUMNS, index % COLUMNS)
        self._options_layout.setContentsMargins(0, 0, 0, 0)
        self._options_layout.setSpacing(3)
        self._options_layout.setColumnStretch(0, 1)
        inside = QVBoxLayout(self.card)
        inside.setContentsMargins(8, 6, 8, 6)
        inside.setSpacing(5)
        for widget in (self.line, self._options_row, self.proposal, self.error):
            inside.addWidget(widget)
        for row in ((self.apply, self.discard), (self.reject, self.another), (self.apply_all,)):
            line = QHBoxLayout()
            line.setSpacing(4)
            for widget in row:
                line.addWidget(widget, stretch=1)
            inside.addLayout(line)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 4)
        column.setSpacing(4)
        column.addWidget(self.title)
        column.addLayout(grid)
        column.addWidget(self.message)
        column.addWidget(self.card)
        column.addWidget(self.again)


def _paint_button(button: Any, state: Button, shortcut: keymap.Shortcut) -> None:
    button.setText(keymap.with_keys(state.text, shortcut))
    button.setEnabled(state.enabled)
    button.setToolTip(f"{state.tooltip}  ({shortcut.keys})")

"""The lower part of a tab that runs something: estimate, buttons, progress, notices, error, command line."""

from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_vesselkd.plugin import keymap
from napari_vesselkd.plugin.parts import PRIMARY, Copyable, ErrorPanel, Fact, Fold, NoticePanel, labelled
from napari_vesselkd.plugin.segment_state import Button, Picture


class RunPanel(QWidget):
    """Paints a `Picture`; emits what the user pressed."""

    run_pressed = Signal()
    pause_pressed = Signal()
    cancel_pressed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.estimate = Fact()
        self.run, self.pause, self.cancel = QPushButton("Run"), QPushButton("Pause"), QPushButton("Cancel")
        for button, shortcut, signal in (
            (self.run, keymap.RUN, self.run_pressed),
            (self.pause, keymap.PAUSE, self.pause_pressed),
            (self.cancel, keymap.CANCEL, self.cancel_pressed),
        ):
            button.setShortcut(QKeySequence(shortcut.keys))
            button.clicked.connect(signal)
        self.run.setObjectName(PRIMARY)
        self.reason = Fact()
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        self.bar_text = Fact()
        self.result = QLabel()
        self.result.setWordWrap(True)
        self.result.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.notices, self.error = NoticePanel(), ErrorPanel()
        self.command = Copyable()
        self.command_fold = Fold("Command line", self.command)
        self._lay_out()

    def paint(self, picture: Picture) -> None:
        """Show everything."""
        self.estimate.show_text(picture.estimate_text, problem=picture.estimate_is_problem)
        for button, state, shortcut in (
            (self.run, picture.run, keymap.RUN),
            (self.pause, picture.pause, keymap.PAUSE),
            (self.cancel, picture.cancel, keymap.CANCEL),
        ):
            paint_button(button, state, shortcut)
        shown_above = picture.reason in (picture.estimate_text, picture.output_text, picture.volume_text)
        self.reason.show_text("" if shown_above else picture.reason)
        self._paint_bar(picture)
        self.result.setText(picture.result)
        self.result.setVisible(bool(picture.result))
        self.notices.show_notices(picture.notices)
        self.error.show_failure(picture.failure)
        self.command_fold.setVisible(bool(picture.command))
        self.command.show_text(picture.command)
        self.command.copy.setEnabled(picture.command_is_complete)
        self.command.copy.setToolTip(
            "Copy the command line"
            if picture.command_is_complete
            else "This layer has no file: save it first, then put its path in place of SOURCE"
        )

    def _paint_bar(self, picture: Picture) -> None:
        self.bar.setVisible(picture.bar_visible)
        if picture.bar_permille is None:
            self.bar.setRange(0, 0)
        else:
            self.bar.setRange(0, 1000)
            self.bar.setValue(picture.bar_permille)
        self.bar_text.show_text(picture.bar_text)

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        buttons.setSpacing(4)
        buttons.addWidget(self.run, stretch=2)
        buttons.addWidget(self.pause, stretch=1)
        buttons.addWidget(self.cancel, stretch=1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(5)
        column.addWidget(labelled("Estimate"))
        column.addWidget(self.estimate)
        column.addLayout(buttons)
        for widget in (self.reason, self.bar, self.bar_text, self.result, self.error, self.notices):
            column.addWidget(widget)
        column.addWidget(self.command_fold)


def paint_button(button: Any, state: Button, shortcut: keymap.Shortcut | None = None) -> None:
    """Show a button's text with its shortcut, if it has one, whether it can be pressed, and why not."""
    text = state.text if shortcut is None else keymap.with_keys(state.text, shortcut)
    if button.text() != text:
        button.setText(text)
        if shortcut is not None:
            button.setShortcut(QKeySequence(shortcut.keys))
    button.setEnabled(state.enabled)
    button.setToolTip(state.tooltip)

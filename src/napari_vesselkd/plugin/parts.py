"""Small widgets the tabs are built from, readable in napari's dark and light themes.

Colours come from napari's theme: `style_sheet` is set once on a dock and again when the theme changes;
widgets say what they are through their object name.
"""

from collections.abc import Sequence
from typing import Any

from napari.utils.theme import get_theme
from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QApplication,
    QButtonGroup,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_vesselkd.plugin.failure import Failure

FACT, PROBLEM, SECTION, NOTICE, ERROR, CODE, PRIMARY = (
    "vkdFact", "vkdProblem", "vkdSection", "vkdNotice", "vkdError", "vkdCode", "vkdPrimary"
)  # fmt: skip
STRONG, GOOD, BAD, LINK = "vkdStrong", "vkdGood", "vkdBad", "vkdLink"


def style_sheet(theme_name: str) -> str:
    """Return the style of everything in this module for one of napari's themes."""
    theme = get_theme(theme_name)
    text, back = theme.text.as_rgb_tuple()[:3], theme.background.as_rgb_tuple()[:3]
    dark = theme.type == "dark"
    quiet = _mix(text, back, 0.72)
    error = "#ff7a6b" if dark else "#b3261e"
    panel = _mix(text, back, 0.10)
    accent, on_accent = _colour(theme.current), "white" if dark else _colour(theme.text)
    hover = _mix(theme.current.as_rgb_tuple()[:3], text, 0.85)
    return f"""
    QLabel#{FACT} {{ color: {quiet}; }}
    QLabel#{PROBLEM} {{ color: {error}; }}
    QLabel#{SECTION} {{ color: {quiet}; font-weight: bold; }}
    QLabel#{STRONG} {{ font-weight: bold; }}
    QLabel#{GOOD} {{ color: {"#6fd08c" if dark else "#1b7a3d"}; font-weight: bold; }}
    QLabel#{BAD} {{ color: {error}; font-weight: bold; }}
    QPushButton#{LINK} {{ text-align: left; padding-left: 8px; }}
    QFrame#{NOTICE}, QFrame#{ERROR} {{ background: {panel}; border-radius: 3px; }}
    QFrame#{NOTICE} {{ border-left: 3px solid {"#e0b040" if dark else "#9a6b00"}; }}
    QFrame#{ERROR} {{ border-left: 3px solid {error}; }}
    QFrame#{NOTICE} QLabel, QFrame#{ERROR} QLabel {{ background: transparent; }}
    QPlainTextEdit#{CODE} {{ font-family: monospace; background: {panel}; border: none; }}
    QToolButton#{SECTION}, QToolButton#{SECTION}:checked {{
        border: none; background: transparent; color: {quiet}; font-weight: bold; padding: 2px 0px;
    }}
    QPushButton:checked {{ background: {accent}; color: {on_accent}; }}
    QPushButton:checked:disabled {{ background: {_mix(theme.current.as_rgb_tuple()[:3], back, 0.5)}; }}
    QPushButton#{PRIMARY}:enabled {{ background: {accent}; color: {on_accent}; font-weight: bold; }}
    QPushButton#{PRIMARY}:enabled:hover {{ background: {hover}; }}
    QProgressBar::chunk {{ background: {accent}; }}
    QTabBar::tab {{ padding: 5px 14px; }}
    """


class Fact(QLabel):
    """A quiet line of text under a control; the same line shows problems in the colour of errors."""

    def __init__(self, text: str = "") -> None:
        super().__init__(text)
        self.setObjectName(FACT)
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.setVisible(bool(text))

    def show_text(self, text: str, *, problem: bool = False) -> None:
        """Show `text`; an empty one takes no room."""
        restyle(self, PROBLEM if problem else FACT)
        if self.text() != text:
            self.setText(text)
        self.setVisible(bool(text))


class Choice(QWidget):
    """A few exclusive buttons in a row."""

    changed = Signal(str)

    def __init__(self, options: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        row = _tight(QHBoxLayout(self), spacing=2)
        self._group = QButtonGroup(self)
        self._buttons: dict[str, Any] = {}
        for text, tooltip in options:
            button = QPushButton(text)
            button.setCheckable(True)
            button.setToolTip(tooltip)
            self._group.addButton(button)
            self._buttons[text] = button
            row.addWidget(button)
        self.choose(options[0][0])
        self._group.buttonClicked.connect(lambda button: self.changed.emit(button.text()))

    @property
    def chosen(self) -> str:
        return str(self._group.checkedButton().text())

    def choose(self, text: str) -> None:
        self._buttons[text].setChecked(True)

    def button(self, text: str) -> Any:
        return self._buttons[text]


class Fold(QWidget):
    """A heading that folds its content away."""

    def __init__(self, title: str, content: QWidget, *, open_: bool = False) -> None:
        super().__init__()
        self._content = content
        self.header = QToolButton()
        self.header.setObjectName(SECTION)
        self.header.setText(title)
        self.header.setCheckable(True)
        self.header.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.header.toggled.connect(self._fold)
        column = _tight(QVBoxLayout(self))
        column.addWidget(self.header)
        column.addWidget(content)
        self.header.setChecked(open_)
        self._fold(open_)

    def _fold(self, shown: bool) -> None:
        self.header.setArrowType(Qt.ArrowType.DownArrow if shown else Qt.ArrowType.RightArrow)
        self._content.setVisible(shown)


class Copyable(QWidget):
    """Read-only text in a monospace box, with a copy button."""

    def __init__(self, lines: int = 3) -> None:
        super().__init__()
        self.box = QPlainTextEdit()
        self.box.setObjectName(CODE)
        self.box.setReadOnly(True)
        self.box.setFixedHeight(round(self.box.fontMetrics().lineSpacing() * (lines + 1)))
        self.copy = QPushButton("Copy")
        self.copy.clicked.connect(lambda: QApplication.clipboard().setText(self.box.toPlainText()))
        column = _tight(QVBoxLayout(self), spacing=4)
        column.addWidget(self.box)
        column.addWidget(self.copy, alignment=Qt.AlignmentFlag.AlignRight)

    def show_text(self, text: str) -> None:
        if self.box.toPlainText() != text:
            self.box.setPlainText(text)


class NoticePanel(QFrame):
    """What the user should know, one paragraph each; hidden while there is nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName(NOTICE)
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        _tight(QVBoxLayout(self), margin=8).addWidget(self.text)
        self.setVisible(False)

    def show_notices(self, notices: Sequence[str]) -> None:
        text = "\n\n".join(dict.fromkeys(notices))
        if text != self.text.text():
            self.text.setText(text)
        self.setVisible(bool(text))


class ErrorPanel(QFrame):
    """What failed, the way out, the traceback folded away and a copy button."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName(ERROR)
        self.headline, self.remedy = QLabel(), QLabel()
        for label in (self.headline, self.remedy):
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.details = Copyable(lines=8)
        self.fold = Fold("Details", self.details)
        column = _tight(QVBoxLayout(self), margin=8, spacing=6)
        for widget in (self.headline, self.remedy, self.fold):
            column.addWidget(widget)
        self._failure: Failure | None = None
        self.setVisible(False)

    def show_failure(self, failure: Failure | None) -> None:
        if failure is not None and failure != self._failure:
            self.headline.setText(failure.headline)
            self.remedy.setText(failure.remedy)
            self.remedy.setVisible(bool(failure.remedy))
            self.details.show_text(failure.details)
            self.fold.header.setChecked(False)
        self._failure = failure
        self.setVisible(failure is not None)


def restyle(widget: Any, name: str) -> None:
    """Give `widget` another style of the sheet."""
    if widget.objectName() != name:
        widget.setObjectName(name)
        widget.style().unpolish(widget)
        widget.style().polish(widget)


def set_quietly(widget: Any, setter: str, value: Any) -> None:
    """Call a setter of a Qt widget without its signals."""
    blocker = QSignalBlocker(widget)
    getattr(widget, setter)(value)
    blocker.unblock()


def scroll_to(widget: QWidget) -> None:
    """Bring `widget` into view: it may lie below what a small window shows."""
    area = widget.parentWidget()
    while area is not None and not isinstance(area, QScrollArea):
        area = area.parentWidget()
    if area is not None:
        area.ensureWidgetVisible(widget)


def labelled(text: str) -> QLabel:
    """Return the bold label of a control."""
    label = QLabel(text)
    label.setObjectName(SECTION)
    return label


def _tight(layout: Any, *, spacing: int = 2, margin: int = 0) -> Any:
    layout.setContentsMargins(margin, margin, margin, margin)
    layout.setSpacing(spacing)
    return layout


def _mix(front: Sequence[float], back: Sequence[float], share: float) -> str:
    red, green, blue = (round(f * share + b * (1 - share)) for f, b in zip(front, back, strict=True))
    return f"rgb({red}, {green}, {blue})"


def _colour(colour: Any) -> str:
    red, green, blue = colour.as_rgb_tuple()[:3]
    return f"rgb({red}, {green}, {blue})"


def side_by_side(*widgets: QWidget, stretches: tuple[int, ...] = ()) -> QHBoxLayout:
    """Return widgets side by side, as wide as each other or by `stretches`."""
    line = QHBoxLayout()
    line.setSpacing(4)
    for index, widget in enumerate(widgets):
        line.addWidget(widget, stretch=stretches[index] if stretches else 1)
    return line


def row(*widgets: QWidget) -> QWidget:
    """Return widgets in a row; those that are no text and no choice take the room that is left."""
    found = QWidget()
    line = QHBoxLayout(found)
    line.setContentsMargins(0, 0, 0, 0)
    line.setSpacing(4)
    for widget in widgets:
        line.addWidget(widget, stretch=0 if isinstance(widget, (QLabel, Choice)) else 1)
    return found

"""The place of "Paint anywhere" in the Correct tab: a button that stays down, and what it is doing.

What is shown is computed without Qt by `draw_anywhere`.
"""

from dataclasses import dataclass

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_vesselkd.plugin import keymap
from napari_vesselkd.plugin.anywhere import Anywhere
from napari_vesselkd.plugin.failure import Failure
from napari_vesselkd.plugin.parts import ErrorPanel, Fact

HINT = (
    "Paint vessel (Q), background (W) or erase (E) at any place of the volume, with no block open. Every "
    "stroke is a correction at once, until a block accepted later covers it, and it teaches."
)
ERASING = "Erasing takes corrections back, those of accepted blocks too."
IN_3D = "Painting is in 2D views: its layer is hidden in 3D, as the volume is too large to be shown whole."


@dataclass(frozen=True)
class AnywherePicture:
    """What is shown: the button, whether it is down, a line under it, and what went wrong."""

    enabled: bool
    down: bool
    tooltip: str
    fact: str
    failure: Failure | None


def draw_anywhere(
    *, locked: str, opened: bool, busy: bool, saved: int, hidden: bool, failure: Failure | None
) -> AnywherePicture:
    """Return what is shown.

    Parameters
    ----------
    locked : str
        Why nothing can be painted at all; empty where it can.
    opened, busy, hidden : bool
        Whether the layer is there; whether something is not on the disk yet; whether 3D hides it.
    saved : int
        Strokes saved since it was opened.
    failure : Failure or None
    """
    fact = ""
    if opened and hidden:
        fact = IN_3D
    elif opened and failure is None:
        done = "Nothing painted yet" if not saved else f"{saved} stroke{'s' if saved > 1 else ''} saved"
        fact = "Saving…" if busy else f"{done}. {ERASING}"
    return AnywherePicture(not locked, opened, locked or HINT, fact, failure)


class AnywherePanel(QWidget):
    """The button, its line and its error; `pressed` asks for the opposite of what is shown."""

    pressed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.button = QPushButton(keymap.with_keys("Paint anywhere", keymap.ANYWHERE))
        self.button.setShortcut(QKeySequence(keymap.ANYWHERE.keys))
        self.button.setCheckable(True)
        self.button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.button.clicked.connect(self.pressed)
        self.fact, self.error = Fact(), ErrorPanel()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 0)
        column.setSpacing(3)
        for widget in (self.button, self.fact, self.error):
            column.addWidget(widget)

    def show_anywhere(self, anywhere: Anywhere, locked: str) -> None:
        """Show how far painting anywhere is; `locked`: why nothing can be painted, if so."""
        self.paint(
            draw_anywhere(
                locked=locked,
                opened=anywhere.opened,
                busy=anywhere.busy,
                saved=anywhere.saved,
                hidden=anywhere.opened and not anywhere.layer.visible,
                failure=anywhere.failure,
            )
        )

    def paint(self, picture: AnywherePicture) -> None:
        """Show everything."""
        self.button.setEnabled(picture.enabled)
        self.button.setChecked(picture.down)
        self.button.setToolTip(picture.tooltip)
        self.fact.show_text(picture.fact)
        self.error.show_failure(picture.failure)

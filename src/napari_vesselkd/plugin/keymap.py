"""Every shortcut of the plugin, in one place; buttons show theirs.

None of them is bound by napari itself, apart from undo and redo, which keep their meaning. The function keys
are bound to the dock and its viewer window, and do nothing while the button they press is disabled; those in
`PAINTING` are bound to the layer of the block that is being corrected, and work while it is selected.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shortcut:
    """One key sequence and what it does."""

    keys: str
    does: str


RUN = Shortcut("F5", "Run the segmentation, or start to learn")
PAUSE = Shortcut("F6", "Pause or go on, or resume learning")
CANCEL = Shortcut("F7", "Cancel within one block, or stop learning")
PROJECT = Shortcut("F8", "Project the region")
EDIT_HERE = Shortcut("F2", "Edit the region under the cursor, or amid the view")
PREVIOUS = Shortcut("F3", "Open the previous block")
NEXT = Shortcut("F4", "Open the next block")
ACCEPT = Shortcut("F9", "Accept the block")
SKIP = Shortcut("F10", "Skip the block")
REOPEN = Shortcut("Shift+F9", "Open an accepted or skipped block again")
VESSEL = Shortcut("Q", "Paint vessel")
BACKGROUND = Shortcut("W", "Paint background")
UNLABELLED = Shortcut("E", "Erase: leave unlabelled")
UNDO = Shortcut("Ctrl+Z", "Take the last stroke back")
REDO = Shortcut("Ctrl+Shift+Z", "Do it again")

PAINTING = (VESSEL, BACKGROUND, UNLABELLED, UNDO, REDO)
KEYMAP = (RUN, PAUSE, CANCEL, PROJECT, EDIT_HERE, PREVIOUS, NEXT, ACCEPT, SKIP, REOPEN, *PAINTING)


def with_keys(text: str, shortcut: Shortcut) -> str:
    """Return a button's text with its shortcut behind it."""
    return f"{text}  ({shortcut.keys})"

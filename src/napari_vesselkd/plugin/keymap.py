"""Every shortcut of the plugin, in one place; buttons show theirs.

None of them is bound by napari itself, apart from undo and redo, which keep their meaning. The function keys
are bound to the dock and its viewer window, and do nothing while the button they press is disabled; those in
`PAINTING` and `TOOLS` are bound to the layer of the block that is being corrected, and work while it is
selected; those in `PROPOSING` are bound to it while a tool is in hand.
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
ANYWHERE = Shortcut("Shift+F2", "Paint anywhere, with no block open, or stop it")
EDIT_HERE = Shortcut("F2", "Edit the region under the cursor, or amid the view")
PREVIOUS = Shortcut("F3", "Open the previous block")
NEXT = Shortcut("F4", "Open the next block")
ACCEPT = Shortcut("F9", "Accept the block")
SKIP = Shortcut("F10", "Skip the block")
REOPEN = Shortcut("Shift+F9", "Open an accepted or skipped block again")
FLAG = Shortcut("F12", "Flag the block, or take its flag away")
NOTE = Shortcut("Shift+F12", "Write a note on the block")
VESSEL = Shortcut("Q", "Paint vessel")
BACKGROUND = Shortcut("W", "Paint background")
UNLABELLED = Shortcut("E", "Erase: leave unlabelled")
UNDO = Shortcut("Ctrl+Z", "Take the last stroke back")
REDO = Shortcut("Ctrl+Shift+Z", "Do it again")

CONNECT = Shortcut("C", "Connect two places along the image")
JOIN = Shortcut("J", "Fill the narrowest place between two pieces")
INTERPOLATE = Shortcut("I", "Fill in between two drawn slices")
SMART_BRUSH = Shortcut("T", "Paint only where the image supports it")
DELETE_PIECE = Shortcut("D", "Delete an isolated piece")
DELETE_SPUR = Shortcut("S", "Delete a branch that ends in the open")
CUT = Shortcut("K", "Cut a vessel across")
SPLIT = Shortcut("Y", "Split two vessels that were taken for one")
FILL = Shortcut("H", "Fill the hole that is clicked")
LUMENS = Shortcut("U", "Fill vessels of which the wall alone was found")
FIT = Shortcut("R", "Grow or shrink vessels to the image")
SURE = Shortcut("A", "Keep the pieces that are large and sure, unlabel the others")
GAPS = Shortcut("G", "Walk through likely gaps")
SPURS = Shortcut("Shift+S", "Walk through likely spurs")
PIECES = Shortcut("Shift+D", "Walk through likely false pieces")

APPLY = Shortcut("Enter", "Apply what is proposed")
DISCARD = Shortcut("Esc", "Discard what is proposed; once more: put the tool away")
REJECT = Shortcut("Backspace", "Reject this one and go on")
ANOTHER = Shortcut("N", "Look at the next one and decide later")
APPLY_ALL = Shortcut("Shift+Enter", "Apply this one and all that are left, as one step")

PAINTING = (VESSEL, BACKGROUND, UNLABELLED, UNDO, REDO)
TOOLS = (
    CONNECT, JOIN, INTERPOLATE, SMART_BRUSH, DELETE_PIECE, DELETE_SPUR, CUT, SPLIT,
    FILL, LUMENS, FIT, SURE, GAPS, SPURS, PIECES,
)  # fmt: skip
PROPOSING = (APPLY, DISCARD, REJECT, ANOTHER, APPLY_ALL)
KEYMAP = (
    RUN,
    PAUSE,
    CANCEL,
    PROJECT,
    EDIT_HERE,
    ANYWHERE,
    PREVIOUS,
    NEXT,
    ACCEPT,
    SKIP,
    REOPEN,
    FLAG,
    NOTE,
    *PAINTING,
    *TOOLS,
    *PROPOSING,
)


def with_keys(text: str, shortcut: Shortcut) -> str:
    """Return a button's text with its shortcut behind it."""
    return f"{text}  ({shortcut.keys})"

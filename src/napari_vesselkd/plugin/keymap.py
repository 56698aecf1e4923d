"""Every shortcut of the plugin, in one place; buttons show theirs.

None of them is bound by napari itself. They are bound to the dock and its viewer window, and do nothing while
the button they press is disabled.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shortcut:
    """One key sequence and what it does."""

    keys: str
    does: str


RUN = Shortcut("F5", "Run the segmentation")
PAUSE = Shortcut("F6", "Pause or go on")
CANCEL = Shortcut("F7", "Cancel within one block")
PROJECT = Shortcut("F8", "Project the region")

KEYMAP = (RUN, PAUSE, CANCEL, PROJECT)


def with_keys(text: str, shortcut: Shortcut) -> str:
    """Return a button's text with its shortcut behind it."""
    return f"{text}  ({shortcut.keys})"

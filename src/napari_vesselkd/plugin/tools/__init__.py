"""The proofreading tools as gestures in the viewer: chosen, clicked, previewed, applied, one undo each."""

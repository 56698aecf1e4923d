"""Which codes are chosen; the histogram, the plane, the layer and the gallery all follow it."""

from collections.abc import Iterable

from qtpy.QtCore import QObject, Signal


class ChosenCodes(QObject):
    """The chosen codes, in the order in which they were chosen; `changed` says that they are others."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.codes: tuple[int, ...] = ()

    def choose(self, codes: Iterable[int], add: bool = False) -> None:
        """Choose these codes.

        Parameters
        ----------
        codes : iterable of int
        add : bool
            Add them to what is chosen, or take them out of it where all of them are chosen already.
        """
        given = tuple(dict.fromkeys(codes))
        if not add:
            found = given
        elif given and set(given) <= set(self.codes):
            found = tuple(code for code in self.codes if code not in given)
        else:
            found = tuple(dict.fromkeys((*self.codes, *given)))
        if found != self.codes:
            self.codes = found
            self.changed.emit()

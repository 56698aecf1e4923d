"""How long a person works on a block: seconds while it is open and the person does something."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from qtpy.QtCore import QEvent, QObject, QTimer

IDLE = 30.0  # s without mouse or key after which the person is taken to be away
TICK_MS = 1000
KEEP = 20.0  # s that are gathered before they are kept
DOING = (
    QEvent.Type.MouseMove,
    QEvent.Type.MouseButtonPress,
    QEvent.Type.Wheel,
    QEvent.Type.KeyPress,
)


class BlockClock(QObject):
    """Gathers the seconds that a person works on the open block.

    Parameters
    ----------
    keep : callable
        Takes the number of a block and seconds to add to it.
    watched : QObject
        The canvas: what the person does there counts. A filter of all events of the application would cost
        every one of them a call of Python.
    now : callable, optional
        Seconds that never go back.
    """

    def __init__(
        self, keep: Callable[[int, float], Any], watched: Any, now: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._keep, self._watched, self._now = keep, watched, now
        self._number: int | None = None
        self._gathered = 0.0
        self._seen = self._last = now()
        self._timer = QTimer(self)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self.tick)

    def begin(self, number: int) -> None:
        """Count for this block from now on."""
        self.end()
        self._number = number
        self._seen = self._last = self._now()
        self._watched.installEventFilter(self)
        self._timer.start()

    def end(self) -> None:
        """Keep what is gathered: the block is left."""
        if self._number is None:
            return
        self.tick()
        self._give()
        self._number = None
        self._timer.stop()
        with suppress(RuntimeError):  # the window is gone already
            self._watched.removeEventFilter(self)

    def tick(self) -> None:
        """Count the time since the last tick, as far as the person was there."""
        now = self._now()
        self._gathered += max(0.0, min(now, self._seen + IDLE) - self._last)
        self._last = now
        if self._gathered >= KEEP:
            self._give()

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:
        if event.type() in DOING:
            self.noticed()
        return False

    def noticed(self) -> None:
        """Take note that the person does something; a pause before it does not count."""
        now = self._now()
        if now - self._seen > IDLE:
            self.tick()
            self._last = now
        self._seen = now

    def _give(self) -> None:
        if self._number is not None and self._gathered > 0:
            self._keep(self._number, self._gathered)
        self._gathered = 0.0

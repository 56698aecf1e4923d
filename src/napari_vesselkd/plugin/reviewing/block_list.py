"""The list of blocks in the Correct tab, made in a worker a moment after something changed."""

from qtpy.QtCore import QObject, Signal

from napari_vesselkd.geometry import Region
from napari_vesselkd.plugin.correct_state import Review
from napari_vesselkd.plugin.reviewing.orders import following, list_blocks
from napari_vesselkd.plugin.session import ProjectSession
from napari_vesselkd.plugin.workers import Task, delayed, run
from napari_vesselkd.proofreading import Candidate, next_candidate

DELAY_MS = 200


class BlockList(QObject):
    """The blocks of the session's project, in an order.

    `changed`: the list or the chosen row is another. `failed`: it could not be made.

    Attributes
    ----------
    review : Review
        The list as it is shown.
    side, order : int, str
        Of the blocks; one of `orders.ORDERS`.
    """

    changed = Signal()
    failed = Signal(object)

    def __init__(self, session: ProjectSession) -> None:
        super().__init__()
        self._session = session
        self.review = Review()
        self.side, self.order = 0, ""
        self._here: Region | None = None
        self._task: Task | None = None
        self._timer = delayed(self, DELAY_MS, self._make)

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The blocks."""
        return self.review.candidates

    @property
    def chosen(self) -> Candidate | None:
        """The block of the chosen row."""
        row = self.review.selected
        return self.candidates[row] if 0 <= row < len(self.candidates) else None

    @property
    def busy(self) -> bool:
        """Whether the list is being made, or will be in a moment."""
        return self._timer.isActive() or (self._task is not None and self._task.running)

    def due(self) -> None:
        """Make the list soon: something changed."""
        self._timer.start()

    def at(self, region: Region | None) -> None:
        """Let the row of a region be the chosen one whenever the list is made; None: no region's."""
        self._here = region

    def choose(self, row: int) -> None:
        """Choose a row."""
        self.review = Review(self.candidates, row, self.review.has_labels)
        self.changed.emit()

    def step(self, here: Region | None, *, back: bool) -> Candidate | None:
        """Return the next block, or the one before, that is left to do; at its end from its other end."""
        found = next_candidate(self.candidates, here, back=back)
        return next_candidate(self.candidates, None, back=back) if found is None else found

    def after(self, done: Region) -> Candidate | None:
        """Return which block comes after one that is done; None at the end of the list."""
        return following(self.candidates, done, self.order)

    def clear(self) -> None:
        """Forget everything: the project is another."""
        self.stop()
        self.review, self._here = Review(), None

    def stop(self) -> None:
        """Make no more lists."""
        self._timer.stop()
        if self._task is not None:
            self._task.abandon()

    def _make(self) -> None:
        project = self._session.project
        if project is None or self._session.volume is None:
            return
        if self._task is not None and self._task.running:
            self._timer.start()
            return
        side, order = self.side, self.order

        def find() -> Review:
            project.refresh()
            return Review(list_blocks(project, side, order), has_labels=project.labels_record is not None)

        self._task = run(find)
        self._task.done.connect(self._made)
        self._task.failed.connect(self.failed)
        self._task.start()

    def _made(self, review: Review) -> None:
        here = self._here or (self.chosen.region if self.chosen is not None else None)
        rows = [index for index, one in enumerate(review.candidates) if one.region == here]
        self.review = Review(review.candidates, rows[0] if rows else -1, review.has_labels)
        self.changed.emit()

"""The gallery of the places that have the chosen codes, filled lazily."""

from collections import deque
from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_vesselkd.plugin.codes.chosen import ChosenCodes
from napari_vesselkd.plugin.codes.engine import OpenMap
from napari_vesselkd.plugin.codes.finding import PlacesFound, Thumbnail, places_of, thumbnails_of
from napari_vesselkd.plugin.codes.gallery import CodeGallery, Place
from napari_vesselkd.plugin.failure import Failure
from napari_vesselkd.plugin.parts import Fact, labelled
from napari_vesselkd.plugin.workers import Task, delayed

FIRST, MORE = 12, 12
MOST_CODES = 64  # chosen codes that are looked for at once
DELAY_MS = 120
NOTHING = "Choose a code: the places that have it appear here"


class CodesPlaces(QWidget):
    """Shows places with the chosen codes; `pressed` carries the cell (z, y, x) of a click."""

    pressed = Signal(tuple)

    def __init__(self, chosen: ChosenCodes) -> None:
        super().__init__()
        self._chosen = chosen
        self._shown: OpenMap | None = None
        self._colours: Sequence[str] = ()
        self._count = FIRST
        self._finding: Task | None = None
        self._drawing: Task | None = None
        self._wanted: deque[Place] = deque()
        self._asked: set[Place] = set()
        self.gallery = CodeGallery(NOTHING)
        self.more = QPushButton("More places")
        self.fact = Fact()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        for widget in (labelled("Places"), self.fact, self.gallery, self.more):
            column.addWidget(widget)
        self.timer = delayed(self, DELAY_MS, self._find)
        chosen.changed.connect(self._begin)
        self.more.clicked.connect(self._show_more)
        self.gallery.pressed.connect(self._press)
        self._begin()

    def show_map(self, shown: OpenMap | None) -> None:
        self._shown = shown
        self._begin()

    def dress(self, colours: Sequence[str]) -> None:
        self._colours = colours
        self._show(self.gallery.places)

    def find_again(self) -> None:
        """Look again: more of the map is computed."""
        if self._chosen.codes:
            self.timer.start()

    def release(self) -> None:
        self.timer.stop()
        for task in self.tasks:
            task.abandon()

    @property
    def tasks(self) -> list[Task]:
        return [task for task in (self._finding, self._drawing) if task is not None]

    def _begin(self) -> None:
        self._count = FIRST
        for task in self.tasks:
            task.abandon()
        self._finding = self._drawing = None
        self.gallery.say(NOTHING if not self._chosen.codes else "Looking for places…")
        self._show(())
        self.timer.start()

    def _show_more(self) -> None:
        self._count += MORE
        self._find()

    def _find(self) -> None:
        shown, codes, count = self._shown, self._chosen.codes[:MOST_CODES], self._count
        if shown is None or not codes:
            return
        if self._finding is not None:
            self._finding.abandon()
        self._finding = Task(lambda: places_of(shown, codes, count))
        self._finding.reported.connect(self._found)
        self._finding.done.connect(self._searched)
        self._finding.failed.connect(self._failed)
        self._finding.start()

    def _found(self, found: PlacesFound) -> None:
        self._show(found.places)
        if not found.places:
            self.gallery.say(f"Looking for places… {found.searched:.0%} of the map")
        self._draw()

    def _searched(self, found: PlacesFound | None) -> None:
        if found is None or not found.places:
            self.gallery.say("No place that is mapped has it")
        self._draw()

    def _failed(self, failure: Failure) -> None:
        self.fact.show_text(f"{failure.headline} {failure.remedy}".strip(), problem=True)

    def _draw(self) -> None:
        """Make the pictures that are missing."""
        shown, missing = self._shown, self.gallery.missing()
        if shown is None or not missing:
            return
        if self._drawing is not None and self._drawing.running:
            made = self._asked - set(self._wanted)  # or being made
            self._wanted.clear()
            self._wanted.extend(place for place in missing if place not in made)
            self._asked |= set(missing)
            return
        wanted = self._wanted = deque(missing)
        self._asked = set(missing)
        self._drawing = Task(lambda: thumbnails_of(shown, wanted))
        self._drawing.reported.connect(self._drawn)
        self._drawing.done.connect(lambda _: self._draw())
        self._drawing.failed.connect(self._failed)
        self._drawing.start()

    def _drawn(self, one: Thumbnail) -> None:
        self.gallery.show_picture(one.place, one.picture)

    def _show(self, places: Sequence[Any]) -> None:
        known = self._colours
        self.gallery.show_places(
            places, [known[one.code] if one.code < len(known) else "#808080" for one in places]
        )
        self.more.setVisible(0 < len(places) >= self._count)
        texts = "The nearest to the code first; numbers: code, distance. Click: go there."
        self.fact.show_text(texts if places else "")

    def _press(self, index: int) -> None:
        self.pressed.emit(self.gallery.places[index].cell)

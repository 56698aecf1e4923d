"""The chosen codes: picked in the viewer, described, named, shown as the decoder sees them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_vesselkd.plugin.codes.card import CardView, CodeCard
from napari_vesselkd.plugin.codes.chosen import ChosenCodes
from napari_vesselkd.plugin.codes.engine import OpenMap
from napari_vesselkd.plugin.codes.finding import CodeReader, Decoded, Found, decoded_of
from napari_vesselkd.plugin.codes.layer import Picker, voxel_at
from napari_vesselkd.plugin.codes.noting import CodeNoting
from napari_vesselkd.plugin.codes.run import CodesRun
from napari_vesselkd.plugin.codes.text import describe_chosen, describe_code, describe_found
from napari_vesselkd.plugin.failure import Failure
from napari_vesselkd.plugin.parts import Fact, labelled
from napari_vesselkd.plugin.workers import Task, run

if TYPE_CHECKING:
    from napari_vesselkd.patterns.usage import Usage


class CodesDetails(QWidget):
    """Picks codes in the viewer and says what is known of the chosen ones.

    `picked` carries the `Found` of a click in the viewer. `mask_pressed`: the artefacts are wanted as layer.
    """

    picked = Signal(object)
    mask_pressed = Signal()

    def __init__(self, viewer: Any, maps: CodesRun, chosen: ChosenCodes, noting: CodeNoting) -> None:
        super().__init__()
        self._maps, self._chosen, self._noting = maps, chosen, noting
        self.found: Found | None = None
        self._usage: Usage | None = None
        self._rows: dict[int, dict[str, Any]] = {}
        self._reader: CodeReader | None = None
        self._picking: Task | None = None
        self._decoding: Task | None = None
        self.picker = Picker(viewer, self.pick)
        self._build()
        self._connect()

    def show_map(self, shown: OpenMap | None) -> None:
        """Pick from this map from now on."""
        self._reader = None if shown is None else CodeReader(shown, self._maps.root)
        self.found = None
        self._rows = {}
        if shown is None:
            self.pick_button.setChecked(False)
        self.paint()

    def show_usage(self, usage: "Usage | None") -> None:
        self._usage = usage
        self.paint()

    def describe(self, rows: dict[int, dict[str, Any]]) -> None:
        """Take what is known of each code: its row in the table of codes."""
        self._rows = rows
        self.paint()

    def pick(self, world: np.ndarray) -> None:
        """Find the code at a world position; what a click in the viewer does while Pick is on."""
        reader, image = self._reader, self._maps.layer
        if reader is None or image is None:
            return
        voxel = voxel_at(image, world)
        if self._picking is not None:
            self._picking.abandon()
        self.pick_fact.show_text("Looking there…")
        self._picking = run(lambda: reader.at(voxel))
        self._picking.done.connect(self._picked)
        self._picking.failed.connect(self.fail)
        self._picking.start()

    def fail(self, failure: Failure) -> None:
        """Say what went wrong."""
        self.pick_fact.show_text(f"{failure.headline} {failure.remedy}".strip(), problem=True)

    def release(self) -> None:
        self.picker.switch(False)
        for task in self.tasks:
            task.abandon()

    @property
    def tasks(self) -> list[Task]:
        return [task for task in (self._picking, self._decoding) if task is not None]

    def paint(self) -> None:
        """Show everything."""
        codes, noting = self._chosen.codes, self._noting
        there = self._reader is not None
        counts = None if self._usage is None else self._usage.counts
        self.chosen_fact.show_text(describe_chosen(codes, counts, noting.names) if there else "")
        self.clear_button.setEnabled(bool(codes))
        self.pick_button.setEnabled(there)
        self.pick_fact.show_text("" if self.found is None else describe_found(self.found))
        self.card.paint(self._view(codes))
        marked = len(noting.artefacts)
        self.mask_button.setVisible(there and marked > 0)
        self.mask_button.setText(f"Show {marked} artefact code{'s' if marked != 1 else ''} as a mask")

    def _view(self, codes: Sequence[int]) -> CardView:
        noting, found = self._noting, self.found
        if not codes or codes[0] >= len(noting.colours):
            return CardView()
        marked = {code in noting.artefacts for code in codes}
        others = found.others if found is not None and len(codes) == 1 else ()
        return CardView(
            codes=tuple(codes),
            name=noting.name(codes[0]),
            colour=noting.colours[codes[0]],
            artefact=marked.pop() if len(marked) == 1 else None,
            facts=describe_code(self._rows.get(codes[0])) if len(codes) == 1 else "",
            others=tuple((code, f"{noting.name(code) or code} · {far:.2f}") for code, far in others),
            locked=noting.problem,
        )

    def _connect(self) -> None:
        chosen, noting, card = self._chosen, self._noting, self.card
        self.pick_button.toggled.connect(self.picker.switch)
        self.clear_button.clicked.connect(lambda: chosen.choose(()))
        chosen.changed.connect(self._chosen_changed)
        noting.changed.connect(self.paint)
        noting.failed.connect(self.fail)
        card.named.connect(lambda name: noting.say(chosen.codes[:1], name=name))
        card.coloured.connect(lambda colour: noting.say(chosen.codes, colour=colour))
        card.marked.connect(lambda artefact: noting.say(chosen.codes, artefact=artefact))
        card.other_pressed.connect(lambda code: chosen.choose((code,)))
        card.decode_asked.connect(self._decode)
        self.mask_button.clicked.connect(self.mask_pressed)

    def _chosen_changed(self) -> None:
        found = self.found
        others = () if found is None else (found.code, *(code for code, _ in found.others))
        if found is not None and not (len(self._chosen.codes) == 1 and self._chosen.codes[0] in others):
            self.found = None
        self.paint()
        if self.card.wants_decoded:
            self._decode()

    def _picked(self, found: Found) -> None:
        if found.code is not None:
            self._chosen.choose((found.code,))
        self.found = found
        self.paint()
        self.picked.emit(found)

    def _decode(self) -> None:
        """Find what the decoder makes of the one chosen code."""
        shown, codes, usage = self._maps.shown, self._chosen.codes, self._usage
        if shown is None or len(codes) != 1 or usage is None:
            return
        name, root, code = shown.teacher.name, self._maps.root, codes[0]
        among = int(usage.counts.argmax())
        self.card.show_decoded(())
        if self._decoding is not None:
            self._decoding.abandon()
        self._decoding = run(lambda: decoded_of(name, root, code, among))
        self._decoding.done.connect(self._decoded)
        self._decoding.failed.connect(self.fail)
        self._decoding.start()

    def _decoded(self, found: Decoded) -> None:
        self.card.show_decoded(found.pictures, found.head, found.change)

    def _build(self) -> None:
        self.pick_button, self.clear_button = QPushButton("Pick in the viewer"), QPushButton("Choose none")
        self.pick_button.setCheckable(True)
        self.pick_button.setToolTip("While this is on, a click on the image finds the code there (in 2D)")
        self.clear_button.setToolTip("Show all codes again")
        self.chosen_fact, self.pick_fact = Fact(), Fact()
        self.card = CodeCard()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(labelled("Chosen"))
        line = QHBoxLayout()
        line.setSpacing(4)
        line.addWidget(self.pick_button)
        line.addWidget(self.clear_button)
        column.addLayout(line)
        self.mask_button = QPushButton()
        self.mask_button.setToolTip("Add or update the layer vesselkd: artefacts")
        for widget in (self.chosen_fact, self.pick_fact, self.card, self.mask_button):
            column.addWidget(widget)

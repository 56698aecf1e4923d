"""What is seen of one stage in the dock: curves of the loss and its terms, scores, codebook, picture."""

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtGui import QImage
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_vesselkd.plugin.curves import CurvePlot, Series
from napari_vesselkd.plugin.held_out_view import HeldOutView
from napari_vesselkd.plugin.job_stages import PRETRAIN, STUDENT, TEACHER, Curve
from napari_vesselkd.plugin.learn_state import StagePicture
from napari_vesselkd.plugin.parts import Choice, Fact
from napari_vesselkd.plugin.stage_text import TITLES

LOSS, DICE, CLDICE, CODES = "#5aa9e6", "#e6a23c", "#57c08a", "#b58ae0"
COLOURS = {"loss": LOSS, "clDice": CLDICE, "Dice": DICE, "codes used": CODES, "codes": CODES}
MORE = ("#57c08a", "#e07a86", "#3fb8b0", "#c9b458", "#9aa5b1")
NOT_YET = "Nothing of this stage is there yet"


class StageCurves(QWidget):
    """Paints a `StagePicture`; `chosen` carries the name of the stage that is wanted instead."""

    chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.choice = Choice([(TITLES[name], "") for name in (TEACHER, STUDENT)])
        self.loss = CurvePlot("The loss appears here with the first steps")
        self.scores = CurvePlot("Scores on held-out blocks appear here", unit_range=True)
        self.codebook = CurvePlot("", unit_range=True)
        self.codebook_fact = Fact()
        self.held_out = HeldOutView()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(5)
        for widget in (self.choice, self.loss, self.scores, self.codebook, self.codebook_fact, self.held_out):
            column.addWidget(widget)
        names = {TITLES[name]: name for name in (TEACHER, STUDENT)}
        self.choice.changed.connect(lambda title: self.chosen.emit(names[title]))

    def paint(self, stage: StagePicture, choices: Sequence[tuple[str, bool]], picture: QImage | None) -> None:
        """Show everything of a stage; `choices` are the stages of the job, and whether they have curves."""
        self.choice.setVisible(bool(choices))
        for name, begun in choices:
            button = self.choice.button(TITLES[name])
            button.setEnabled(begun)
            button.setToolTip("Its curves, scores and picture" if begun else NOT_YET)
        if choices:
            self.choice.choose(TITLES[stage.name])
        self.loss.setVisible(stage.curves_visible)
        self.loss.show_series(series(stage.curves), stage.steps)
        self.scores.setVisible(stage.scores_visible)
        self.scores.show_series(series(stage.scores), stage.steps)
        self.codebook.setVisible(bool(stage.codebook))
        self.codebook.show_series(series(stage.codebook), stage.steps)
        self.codebook_fact.show_text(stage.codebook_text)
        self.held_out.show_picture(picture, patches=stage.name == PRETRAIN)


def series(curves: Sequence[Curve]) -> list[Series]:
    """Return curves with their colours: known names keep theirs, others take the next one."""
    more = iter(MORE)
    return [Series(name, COLOURS.get(name) or next(more, LOSS), points) for name, points in curves]

"""A small table of numbers in the dock: headings, rows with a name at the left and numbers at the right."""

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QLabel, QSizePolicy, QWidget

from napari_vesselkd.plugin.parts import FACT, STRONG

STANDS_OUT = 2  # the column of what is new, or now


class NumberTable(QWidget):
    """Labels in a grid; `cells` are those under the headings, row by row.

    Parameters
    ----------
    headings : sequence of str
    rows : int
    stretch : int
        Which column takes the room that is left.
    gap : int
        Between two columns, in pixels.
    """

    def __init__(self, headings: tuple[str, ...], rows: int, *, stretch: int, gap: int) -> None:
        super().__init__()
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 2, 0, 2)
        grid.setHorizontalSpacing(gap)
        grid.setVerticalSpacing(1)
        columns = range(len(headings))
        for at, heading in enumerate(headings):
            grid.addWidget(_cell(at, FACT, heading), 0, at)
        self.cells = [
            [_cell(at, STRONG if at == STANDS_OUT else FACT) for at in columns] for _ in range(rows)
        ]
        for row, labels in enumerate(self.cells, start=1):
            for at, label in enumerate(labels):
                grid.addWidget(label, row, at)
        grid.setColumnStretch(stretch, 1)


def _cell(at: int, style: str, text: str = "") -> QLabel:
    label = QLabel(text)
    label.setObjectName(style)
    side = Qt.AlignmentFlag.AlignRight if at else Qt.AlignmentFlag.AlignLeft
    label.setAlignment(side | Qt.AlignmentFlag.AlignTop)
    return label

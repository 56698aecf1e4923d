"""Correcting blocks of a project in a real window: strokes, undo, accept, the list, reopening."""

import numpy as np
import pytest

from napari_vesselkd.project import BlockState


def test_a_stroke_of_the_mouse_is_in_the_journal_and_survives_reopening(viewer, dock, corrector):
    corrector.open_project()
    corrector.edit_here()
    block = corrector.tab.block
    before = block.edit.voxels.copy()
    corrector.stroke((6, 6), (6, 20))
    assert (corrector.layer.data != before).any()
    np.testing.assert_array_equal(corrector.layer.data, block.edit.voxels)
    painted = corrector.layer.data.copy()
    corrector.close_project()
    assert "vesselkd: block" not in viewer.layers
    corrector.open_project()
    np.testing.assert_array_equal(corrector.layer.data, painted)

"""Every script in examples/ runs, and prints what it is for."""

import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
PRINTS = {
    "correct_and_accept": "block 1 accepted: ",
    "evaluate_a_segmentation": "oracle threshold  Dice 0.",
    "finetune_project": "brain-001: 6 steps",
    "mip_figure": "mip.png: 96 x 96 pixels",
    "open_a_volume": "intensity window",
    "segment_a_volume": "vessels.ome.zarr: ",
}


def test_every_example_is_tested():
    assert {path.stem for path in EXAMPLES} == set(PRINTS)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_runs(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(path)])
    runpy.run_path(str(path), run_name="__main__")
    assert PRINTS[path.stem] in capsys.readouterr().out

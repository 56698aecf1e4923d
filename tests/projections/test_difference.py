"""Where a segmentation and its reference differ, as a picture."""

import numpy as np
import pytest
from PIL import Image

from napari_vesselkd.cli import main
from napari_vesselkd.errors import InvalidInputError, RegionError
from napari_vesselkd.projections import difference
from napari_vesselkd.projections.difference import ADDED, AGREED, MISSED, Difference, differing
from napari_vesselkd.volume import volume_from_arrays, write_multiscale


def volume(array, size=None):
    return volume_from_arrays([array], voxel_size_um=size, name="labels")


@pytest.fixture
def pair():
    """Agreement at (1, 2, 3), an added voxel at (0, 5, 6), a missed one behind it, another at y 7."""
    found, true = (np.zeros((4, 8, 12), np.uint8) for _ in range(2))
    found[1, 2, 3] = true[1, 2, 3] = found[0, 5, 6] = true[2, 5, 6] = true[3, 7, 1] = 1
    return found, true


def colours(image):
    return {tuple(int(part) for part in colour) for colour in image.reshape(-1, 3)}


def test_each_view_counts_what_agrees_is_added_and_is_missed(monkeypatch, pair):
    seen, real = [], difference.coloured_shares
    monkeypatch.setattr(difference, "coloured_shares", lambda view: (seen.append(view), real(view))[1])
    list(differing(volume(pair[0]), volume(pair[1])))
    found, true = (array > 0 for array in pair)
    masks = [(found & true), (found & ~true), (true & ~found)]
    for axis, view in enumerate(seen):
        for counts, mask in zip(view, masks, strict=True):
            np.testing.assert_array_equal(counts, mask.sum(axis=axis))


def test_colours_are_mixed_by_the_voxels_behind_a_pixel():
    counts = np.array([[[0, 2, 0, 1]], [[0, 0, 3, 1]], [[0, 0, 0, 0]]])
    mixed = np.rint((np.array(AGREED) + ADDED) / 2).astype(int)
    assert difference.coloured_shares(counts).tolist() == [[[0, 0, 0], [*AGREED], [*ADDED], [*mixed]]]


def test_the_views_lie_beside_each_other_in_proportion(pair):
    *steps, last = differing(volume(pair[0], (4.0, 1.0, 1.0)), volume(pair[1], (4.0, 1.0, 1.0)))
    assert isinstance(last, Difference) and steps[-1].done == steps[-1].total
    assert {AGREED, ADDED, MISSED} <= colours(last.image)
    zoom = difference.PANEL / 12  # pixels per um: the view along z is 8 by 12 um, the depth is 16 um
    rows, columns = (
        (8 + 16) * zoom + 4 * difference.GAP + difference.TEXT,
        (12 + 16) * zoom + 3 * difference.GAP,
    )
    assert last.image.shape == (rows, columns, 3)


def test_a_region_and_bad_input(pair):
    found, true = (volume(array) for array in pair)
    *_, last = differing(found, true, "0:2,0:8,0:12")
    views = last.image[: -difference.TEXT - 2 * difference.GAP]  # without the legend
    assert MISSED not in colours(views) and ADDED in colours(views)
    with pytest.raises(InvalidInputError, match="different shapes"):
        list(differing(found, volume(np.zeros((4, 8, 8), np.uint8))))
    with pytest.raises(RegionError):
        list(differing(found, true, "0:2,0:8,0:99"))


def test_the_command_writes_it_beside_the_scores(tmp_path, pair, capsys):
    for name, array in zip(("found", "true"), pair, strict=True):
        write_multiscale(tmp_path / f"{name}.ome.zarr", array, voxel_size_um=(1, 1, 1), levels=1, label=True)
    words = [str(tmp_path / "found.ome.zarr"), str(tmp_path / "true.ome.zarr")]
    words += ["--voxel-size", "2,1,1", "--quiet"]
    assert main(["evaluate", *words, "--figure", str(tmp_path / "out.png")]) == 0
    out = capsys.readouterr().out
    assert "Dice" in out and f"Where they differ: {tmp_path / 'out.png'}" in out
    assert {AGREED, ADDED, MISSED} <= colours(np.asarray(Image.open(tmp_path / "out.png")))
    assert main(["evaluate", *words, "--figure", str(tmp_path / "out.pdf")]) == 2
    assert "ending" in capsys.readouterr().err

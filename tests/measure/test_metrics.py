import math

import numpy as np
import pytest
import tifffile

from napari_vesselkd.errors import InvalidInputError, RegionError, SourceNotFoundError, VoxelSizeError
from napari_vesselkd.geometry import Region
from napari_vesselkd.measure import evaluate, evaluation, metrics, surface_distance_percentile
from napari_vesselkd.measure.overlap import Overlap
from napari_vesselkd.reports import Progress
from napari_vesselkd.volume import open_volume, volume_from_arrays, write_multiscale


@pytest.fixture
def masks():
    z, y, x = np.indices((20, 40, 48))
    p = (z - 10) ** 2 + (y - 18) ** 2 <= 16
    g = ((z - 9) ** 2 + (y - 20) ** 2 <= 12) & (x < 40)
    return p.astype(np.uint8), g.astype(np.uint8)


def test_arrays_volumes_and_paths_give_the_same_metrics(tmp_path, masks):
    p, g = masks
    size = (2.0, 1.0, 1.0)
    tifffile.imwrite(tmp_path / "p.tif", p)
    write_multiscale(tmp_path / "g.ome.zarr", g, voxel_size_um=size, label=True)
    expected = evaluate(p, g, size)
    assert evaluate(tmp_path / "p.tif", str(tmp_path / "g.ome.zarr"), size) == expected
    with open_volume(tmp_path / "g.ome.zarr") as reference:
        assert evaluate(volume_from_arrays([p], voxel_size_um=size, name="p"), reference) == expected


def test_the_box_around_the_vessels_changes_no_figure(masks):
    p, g = (np.pad(mask, ((3, 5), (9, 2), (0, 7))) for mask in masks)
    score = evaluate(p, g, (2, 1, 1))
    assert score.hd95_um == surface_distance_percentile(p > 0, g > 0, (2, 1, 1))
    assert score.hd95_voxels == surface_distance_percentile(p > 0, g > 0)
    assert score.dice == Overlap.of(p > 0, g > 0).dice


def test_many_blocks_count_what_one_block_counts(monkeypatch, masks):
    p, g = masks
    whole = evaluate(p, g, (2, 1, 1))
    monkeypatch.setattr(metrics, "BLOCK_VOXELS", 1000)
    *progress, score = evaluation(p, g, (2, 1, 1))
    assert score == whole
    assert len(progress) > 10
    assert all(isinstance(report, Progress) for report in progress)
    assert progress[-1].done == progress[-1].total == len(progress)


def test_every_chunk_is_read_once_for_the_overlap(masks, tmp_path):
    p, _ = masks
    reads = []

    class Counted:
        shape, dtype, ndim, chunks = p.shape, p.dtype, 3, (10, 20, 24)

        def __getitem__(self, index):
            reads.append(index)
            return p[index]

    volume = volume_from_arrays([Counted()], voxel_size_um=(1, 1, 1), name="counted")
    next(evaluation(volume, p))
    assert len(reads) == 1
    assert Region(*zip(*[(s.start, s.stop) for s in reads[0]], strict=True)) == Region.whole(p.shape)


def test_labels_above_zero_are_vessel_whatever_their_number(masks):
    p, g = masks
    assert evaluate(p * 7, g.astype(np.float32) * 0.25) == evaluate(p, g)


def test_a_2d_image_is_a_volume_of_one_slice(masks):
    p, g = (mask[10] for mask in masks)
    assert evaluate(p, g, (1, 1, 1)) == evaluate(p[None], g[None], (1, 1, 1))


def test_a_region_is_compared_as_if_it_were_the_volume(masks):
    p, g = masks
    inside = evaluate(p, g, (2, 1, 1), region="2:18,0:40,5:30")
    assert inside == evaluate(p[2:18, :, 5:30], g[2:18, :, 5:30], (2, 1, 1))
    with pytest.raises(RegionError):
        evaluate(p, g, region="0:21,0:40,0:48")


def test_other_shapes_are_refused_with_both_of_them(masks):
    p, g = masks
    with pytest.raises(InvalidInputError, match=r"\(20, 40, 48\) and \(20, 40, 47\)"):
        evaluate(p, g[..., 1:])


def test_an_empty_prediction_scores_zero_and_has_no_distance(masks):
    _, g = masks
    score = evaluate(np.zeros_like(g), g, (1, 1, 1))
    assert (score.dice, score.jaccard, score.cldice, score.tsens) == (0, 0, 0, 0)
    assert math.isnan(score.hd95_um)
    assert math.isnan(score.hd95_voxels)
    assert math.isnan(score.smd)
    assert score.notes == ("The prediction is empty: no HD95, no SMD.",)


def test_without_a_voxel_size_there_is_no_distance_in_um(masks):
    score = evaluate(*masks)
    assert math.isnan(score.hd95_um)
    assert score.hd95_voxels > 0
    assert "--voxel-size" in score.notes[0]


def test_the_voxel_size_of_the_reference_counts_and_a_difference_is_noted(masks):
    p, g = masks
    prediction = volume_from_arrays([p], voxel_size_um=(1, 1, 1), name="p")
    reference = volume_from_arrays([g], voxel_size_um=(5, 1, 1), name="g")
    score = evaluate(prediction, reference)
    assert score.voxel_size_um == (5, 1, 1)
    assert "differ" in score.notes[0]


def test_what_does_not_fit_into_memory_is_left_out_and_said(monkeypatch, masks):
    monkeypatch.setattr(metrics, "BYTES_PER_VOXEL", 10**15)
    score = evaluate(*masks, (1, 1, 1))
    assert score.dice > 0.5
    assert math.isnan(score.cldice)
    assert "are free" in score.notes[0]


def test_a_long_skeleton_is_compared_in_part_and_that_is_said(monkeypatch, masks):
    assert evaluate(*masks, (1, 1, 1)).notes == ()
    monkeypatch.setattr(metrics, "MOST_NODES", 20)
    (note,) = evaluate(*masks, (1, 1, 1)).notes
    assert "SMD compares about 20" in note


@pytest.mark.parametrize("width", [2, 4, 6])
def test_a_tube_without_a_skeleton_has_no_cldice_and_that_is_said(width):
    """A straight tube of even width along an axis is thinned away (scikit-image issue 3757)."""
    tube = np.zeros((12, 12, 30), np.uint8)
    tube[3 : 3 + width, 3 : 3 + width] = 1
    score = evaluate(tube, tube, (1, 1, 1))
    assert score.dice == 1 and np.isnan([score.cldice, score.tprec, score.tsens, score.smd]).all()
    assert [note.split(" has vessels but no skeleton")[0] for note in score.notes] == [
        "The prediction",
        "The reference",
    ]
    odd = np.zeros_like(tube)
    odd[3 : 2 + width, 3 : 2 + width] = 1
    assert evaluate(odd, odd, (1, 1, 1)).cldice == 1 and evaluate(odd, odd, (1, 1, 1)).notes == ()
    (note,) = evaluate(odd, tube, (1, 1, 1)).notes
    assert note.startswith("The reference has vessels but no skeleton")


def test_bad_voxel_sizes_and_missing_files_are_named(tmp_path, masks):
    with pytest.raises(VoxelSizeError):
        evaluate(*masks, (0, 1, 1))
    with pytest.raises(SourceNotFoundError, match="nowhere"):
        evaluate(tmp_path / "nowhere.tif", masks[1])


def test_the_report_names_itself(masks):
    assert evaluate(*masks).to_dict()["report"] == "Metrics"

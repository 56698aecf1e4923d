import dataclasses
import json

import networkx as nx
import numpy as np
import pytest

from napari_vesselkd.errors import InvalidInputError, OutputError
from napari_vesselkd.phantoms import PhantomConfig, make_phantom, read_graph, synthesise, write_phantom
from napari_vesselkd.reports import Progress
from napari_vesselkd.volume import open_volume

SMALL = PhantomConfig(shape=(9, 40, 44), seed=6)


def test_what_is_written_is_read_back(tmp_path):
    phantom = make_phantom(SMALL)
    write_phantom(phantom, tmp_path / "one")
    for name, array in (("image", phantom.image), ("label", phantom.label)):
        with open_volume(tmp_path / "one" / f"{name}.ome.zarr") as volume:
            np.testing.assert_array_equal(np.asarray(volume.levels[0][:]), array)
            assert volume.voxel_size_um == pytest.approx(phantom.voxel_size_um)
    stored = json.loads((tmp_path / "one" / "phantom.json").read_text())
    assert stored["seed"] == 6
    assert stored["appearance"]["psf_z_um"] == phantom.params["appearance"]["psf_z_um"]


def test_graph_keeps_positions_and_radii_in_um(tmp_path):
    phantom = make_phantom(SMALL)
    write_phantom(phantom, tmp_path / "one")
    plain = nx.read_graphml(tmp_path / "one" / "centreline.graphml", node_type=int)
    graph = read_graph(tmp_path / "one" / "centreline.graphml")
    assert set(graph.edges) == set(phantom.graph.edges)
    for node, data in phantom.graph.nodes(data=True):
        assert graph.nodes[node]["pos_um"] == pytest.approx(data["pos_um"])
        assert plain.nodes[node]["y_um"] == pytest.approx(data["pos_um"][1])
    for a, b, data in phantom.graph.edges(data=True):
        np.testing.assert_allclose(graph.edges[a, b]["points"], data["points"], atol=1e-4)
        np.testing.assert_allclose(graph.edges[a, b]["radius_um"], data["radius_um"], atol=1e-4)


def test_nothing_is_left_of_a_write_that_failed(tmp_path, monkeypatch):
    from napari_vesselkd.phantoms import write

    def full_disk(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write.nx, "write_graphml", full_disk)
    with pytest.raises(OutputError, match="disk is full"):
        write_phantom(make_phantom(SMALL), tmp_path / "one")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_not_overwritten(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        write_phantom(make_phantom(SMALL), tmp_path / "one")
    assert [p.name for p in (tmp_path / "one").iterdir()] == ["notes.txt"]


def test_synthesise_writes_one_folder_per_seed_and_reports_each(tmp_path):
    *progress, finished = synthesise(tmp_path / "out", SMALL, 3)
    assert [report.done for report in progress] == [1, 2, 3]
    assert all(isinstance(report, Progress) for report in progress)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["phantom-6", "phantom-7", "phantom-8"]
    assert finished.folders[0] == str(tmp_path / "out" / "phantom-6")


def test_synthesise_goes_on_where_it_was_stopped(tmp_path):
    task = synthesise(tmp_path, SMALL, 3)
    next(task)
    task.close()
    before = (tmp_path / "phantom-6" / "phantom.json").stat().st_mtime_ns
    *progress, _ = synthesise(tmp_path, SMALL, 3)
    assert progress[-1].resumed == 1
    assert (tmp_path / "phantom-6" / "phantom.json").stat().st_mtime_ns == before


def test_synthesise_refuses_a_folder_of_another_configuration(tmp_path):
    list(synthesise(tmp_path, SMALL))
    with pytest.raises(OutputError, match="not this phantom"):
        list(synthesise(tmp_path, dataclasses.replace(SMALL, density=0.9)))


@pytest.mark.parametrize("count", [0, -1, 1.5, True, 10**9])
def test_impossible_counts_are_refused_before_anything_is_written(tmp_path, count):
    with pytest.raises(InvalidInputError, match="number of phantoms"):
        synthesise(tmp_path / "out", SMALL, count)
    assert not (tmp_path / "out").exists()

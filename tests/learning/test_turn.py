"""One turn of the loop on a phantom: corrected, learned from, judged; killed, it ends with equal weights."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from napari_vesselkd.checkpoints import CheckpointRegistry
from napari_vesselkd.errors import InvalidInputError, OutputError, ProjectError, TrainingError
from napari_vesselkd.geometry import Region
from napari_vesselkd.inference import SegmentConfig
from napari_vesselkd.inference.into_project import segment_project
from napari_vesselkd.learning import Judgement, learn
from napari_vesselkd.phantoms import PhantomConfig, make_phantom
from napari_vesselkd.project import Project
from napari_vesselkd.training import finetune as finetuning
from napari_vesselkd.training.finetune import FinetuneConfig, FinetuneFinished
from napari_vesselkd.training.validation import PICTURE, Validation
from napari_vesselkd.volume import write_multiscale
from projects import accept_truth, phantom_project

SIZE = (4.0, 1.0, 1.0)
QUICK = FinetuneConfig(steps=6, batch=1, phantoms=0, phantom_share=0.0, validate_every=3, threads=1)
PLACES = [((0, 0, 0), (16, 64, 64)), ((0, 0, 64), (16, 64, 128)), ((0, 64, 0), (16, 128, 64))]
BLOCKS = [Region(*place) for place in PLACES]


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(PhantomConfig(shape=(16, 128, 128), seed=3, voxel_size_um=SIZE, scene="capillary"))


@pytest.fixture
def project_path(tmp_path, phantom):
    return phantom_project(tmp_path, phantom)


def accept(project_path, phantom, regions, value=None):
    for region in regions:
        accept_truth(project_path, phantom, region, value)


def reports(project_path, run, config=QUICK, **options):
    return list(learn(project_path, run, config, **options))


def weights(run):
    (found,) = (run / "checkpoints").glob("*.safetensors")
    return found.read_bytes()


def test_a_card_counts_painted_places_apart_from_blocks(project_path, phantom, tmp_path):
    accept(project_path, phantom, BLOCKS[:1])
    place = Region((2, 70, 70), (6, 80, 80))
    with Project.open(project_path) as project:
        project.lay(place, np.full(place.shape, 1), np.ones(place.shape, bool), "brush", 1)
        project.flush()
    found = reports(project_path, tmp_path / "run")
    finished = next(one for one in found if isinstance(one, FinetuneFinished))
    card = CheckpointRegistry().get(finished.checkpoint).card
    assert card.lineage["learned_from"] == {"corrected block": 1, "painted place": 1}
    assert card.description == "student-coarse-z, fine-tuned on 1 corrected block and 1 painted place"


def test_a_turn_ends_with_a_checkpoint_in_the_project_and_a_judgement(project_path, phantom, tmp_path):
    accept(project_path, phantom, BLOCKS)
    run = project_path / "runs" / "finetune-001"
    found = reports(project_path, run)
    finished = next(one for one in found if isinstance(one, FinetuneFinished))
    assert finished.name == "brain-001" and finished.parent == "student-coarse-z"
    assert [one.step for one in found if isinstance(one, Validation)] == [3, 6]
    assert (run / PICTURE).read_bytes().startswith(b"\x89PNG")
    judgement = found[-1]
    assert isinstance(judgement, Judgement) and judgement.verdict in ("better", "worse", "undecided")
    assert len(judgement.blocks) == 1 and judgement.current == "auto"
    json.dumps(judgement.to_dict())
    with Project.open(project_path) as project:
        assert judgement.worst.number in {block.number for block in project.held_out_blocks}
        card = project.registry.get("brain-001").card
        assert card.lineage["learned_from"] == {"corrected block": 2}
        assert card.lineage["parent"] == "student-coarse-z"
        assert list(card.volumes) == [project.image.signature]
        project.promote("brain-001")
        *_, segmented = segment_project(project, SegmentConfig(region=BLOCKS[0]))
        assert segmented.checkpoint == "brain-001"


def test_a_finished_run_is_not_trained_again(project_path, phantom):
    accept(project_path, phantom, BLOCKS)
    run = project_path / "runs" / "finetune-001"
    reports(project_path, run)
    before = weights(run)
    again = reports(project_path, run)
    assert isinstance(again[0], FinetuneFinished) and isinstance(again[-1], Judgement)
    assert weights(run) == before


def test_the_checkpoint_is_segmented_with_the_statistics_it_was_trained_with(project_path, phantom):
    accept(project_path, phantom, BLOCKS)
    reports(project_path, project_path / "runs" / "finetune-001")
    with Project.open(project_path) as project:
        project.promote("brain-001")
        list(segment_project(project))
        expected = project.registry.get("brain-001").card.volumes[project.image.signature]["statistics"]
        found = project.labels_record.values["statistics"]
    np.testing.assert_allclose(
        np.concatenate([np.ravel(one) for one in found]),
        np.concatenate([np.ravel(one) for one in expected]),
        rtol=1e-6,
    )


SCRIPT = """
import dataclasses, os, signal, sys
import torch._dynamo  # all is loaded once, and nothing is opened, before the first child
from napari_vesselkd.learning import learn
from napari_vesselkd.training.finetune import FinetuneConfig
from napari_vesselkd.training.fit import FitProgress
plain = FinetuneConfig.fit_config
FinetuneConfig.fit_config = lambda self: dataclasses.replace(plain(self), save_every=3, report_every=1)
config = FinetuneConfig(steps=12, batch=1, phantoms=0, phantom_share=0.0, validate_every=6, threads=1)

def train(pipe):
    for report in learn(sys.argv[1], sys.argv[2], config):
        if isinstance(report, FitProgress):
            os.write(pipe, b"%d\\n" % report.done)

def killed_after(step):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            train(write)
        finally:
            os._exit(1)
    os.close(write)
    with open(read) as lines:
        for line in lines:
            if int(line) >= step:
                os.kill(child, signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL

for step in (2, 5, 10):
    killed_after(step)
"""


def test_a_run_killed_at_any_step_ends_with_the_same_weights(project_path, phantom, tmp_path, monkeypatch):
    accept(project_path, phantom, BLOCKS)
    plain = FinetuneConfig.fit_config
    often = {"save_every": 3, "report_every": 1}
    monkeypatch.setattr(FinetuneConfig, "fit_config", lambda self: replace(plain(self), **often))
    (tmp_path / "run.py").write_text(SCRIPT)
    killed, whole = project_path / "runs" / "finetune-001", project_path / "runs" / "finetune-002"
    command = [sys.executable, str(tmp_path / "run.py"), str(project_path), str(killed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (killed / "state.safetensors").exists() and not (killed / "checkpoints").exists()
    for run in (killed, whole):
        reports(project_path, run, replace(QUICK, steps=12, validate_every=6))
    assert weights(killed) == weights(whole)


def test_without_an_accepted_block_there_is_nothing_to_learn(project_path):
    with pytest.raises(ProjectError, match="no accepted block"):
        reports(project_path, project_path / "runs" / "finetune-001")


@pytest.mark.parametrize(("value", "message"), [(1, "hold no vessel"), (2, "hold no background")])
def test_one_class_alone_is_refused(project_path, phantom, value, message):
    accept(project_path, phantom, BLOCKS[:1], value)
    with pytest.raises(ProjectError, match=message):
        reports(project_path, project_path / "runs" / "finetune-001")


def test_with_one_block_the_gate_refuses_to_compare(project_path, phantom):
    accept(project_path, phantom, BLOCKS[:1])
    found = reports(project_path, project_path / "runs" / "finetune-001")
    assert any("Nothing is held out" in getattr(one, "text", "") for one in found)
    assert found[-1].verdict == "no held-out blocks" and "accept more blocks" in found[-1].text


def test_a_checkpoint_for_other_voxels_is_refused(project_path, phantom):
    accept(project_path, phantom, BLOCKS)
    with pytest.raises(InvalidInputError, match=r"student-isotropic; here z is 4 times"):
        reports(project_path, project_path / "runs" / "finetune-001", parent="student-isotropic")


def test_a_loss_that_is_not_a_number_names_step_and_block_and_keeps_the_last_state(
    project_path, phantom, monkeypatch
):
    accept(project_path, phantom, BLOCKS)
    run = project_path / "runs" / "finetune-001"
    original = finetuning.segmentation_terms
    calls = []

    def loss(logits, batch, config):
        calls.append(1)
        factor = float("nan") if len(calls) == 4 else 1
        return {name: term * factor for name, term in original(logits, batch, config).items()}

    monkeypatch.setattr(finetuning, "segmentation_terms", loss)
    monkeypatch.setattr(FinetuneConfig, "fit_config", saving_often(FinetuneConfig.fit_config))
    with pytest.raises(TrainingError, match=r"step 4.*block \d"):
        reports(project_path, run)
    kept = (run / "state.safetensors").read_bytes()
    assert not (run / "checkpoints").exists()
    list(learn(project_path, run, QUICK))  # goes on behind the bad step's state, which was not saved
    assert kept != (run / "state.safetensors").read_bytes() and weights(run)


def saving_often(plain):
    return lambda self: replace(plain(self), save_every=3)


def test_a_full_disk_while_saving_leaves_the_last_state(project_path, phantom, monkeypatch):
    accept(project_path, phantom, BLOCKS)
    run = project_path / "runs" / "finetune-001"
    monkeypatch.setattr(FinetuneConfig, "fit_config", saving_often(FinetuneConfig.fit_config))
    from pathlib import Path

    write = Path.write_bytes
    states = []

    def full(self, content):
        if "state.safetensors" in self.name:
            states.append(self)
            if len(states) == 2:
                write(self, content[: len(content) // 2])
                raise OSError(28, "No space left on device")
        return write(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="disk is full"):
        reports(project_path, run)
    monkeypatch.setattr(Path, "write_bytes", write)
    assert reports(project_path, run)[-1].verdict


def test_later_corrections_do_not_change_a_run_that_has_started(project_path, phantom):
    accept(project_path, phantom, BLOCKS)
    runs = [project_path / "runs" / name for name in ("finetune-001", "finetune-002")]
    reports(project_path, runs[1])
    task = learn(project_path, runs[0], QUICK)
    for report in task:
        if getattr(report, "unit", "") == "steps":
            break
    task.close()
    accept(project_path, phantom, [Region((0, 64, 64), (16, 128, 128))])
    reports(project_path, runs[0])
    assert weights(runs[0]) == weights(runs[1])


def test_a_csv_of_volumes_is_learned_from(tmp_path, phantom):
    write_multiscale(tmp_path / "a.ome.zarr", phantom.image, voxel_size_um=SIZE)
    write_multiscale(tmp_path / "a-label.ome.zarr", phantom.label, voxel_size_um=SIZE)
    table = tmp_path / "data.csv"
    table.write_text(
        "image,label,group,voxel_size_um\n"
        'a.ome.zarr,a-label.ome.zarr,one,"4,1,1"\na.ome.zarr,a-label.ome.zarr,two,"4,1,1"\n'
    )
    found = list(learn(table, tmp_path / "run", replace(QUICK, held_out_group="two")))
    assert isinstance(found[-1], FinetuneFinished) and any(isinstance(one, Validation) for one in found)
    assert CheckpointRegistry().get(found[-1].checkpoint).card.lineage["held_out_blocks"] == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,label\n", "lacks the column group, voxel_size_um"),
        ("image,label,group,voxel_size_um\na.tif,,g,\n", "No row"),
    ],
)
def test_a_bad_csv_is_refused(tmp_path, text, message):
    (tmp_path / "data.csv").write_text(text)
    with pytest.raises(InvalidInputError, match=message):
        list(learn(tmp_path / "data.csv", tmp_path / "run"))


@pytest.mark.parametrize(
    "changes",
    [{"steps": 0}, {"learning_rate": 0.0}, {"phantom_share": 1.0}, {"name": "../x"}, {"batch": 0}],
)
def test_settings_out_of_range_are_refused(changes):
    with pytest.raises(InvalidInputError):
        FinetuneConfig(**changes)

"""What tests of the Learn tab share: a project with accepted blocks, and a job that waits for the test."""

import sys
from pathlib import Path

import numpy as np

from napari_vesselkd.geometry import Region
from napari_vesselkd.jobs import launch
from napari_vesselkd.project import Project
from napari_vesselkd.volume import open_volume, write_multiscale

FAKES = {"finetune": "fake_job.py", "distill": "fake_stages.py"}
SIDE = 16
DONE = 7  # the step after the fake job's last one


def make_project(folder, *, blocks=0, value=2):
    """Make a project of a small image in `folder` with accepted blocks; return its path, closed."""
    image = np.random.default_rng(0).integers(90, 110, (32, 64, 64)).astype(np.uint16)
    image[:, 20:24, :] = 900
    source = folder / "brain.ome.zarr"
    write_multiscale(source, image, voxel_size_um=(2, 1, 1), chunk=(32, 32, 32))
    path = folder / "brain.vesselkd"
    with open_volume(source) as volume, Project.create(path, volume) as project:
        for index in range(blocks):
            accept(project, index, value)
    return path


def accept(project, index, value=2):
    """Accept the block at place `index` of a row; half of it is background, half `value`."""
    edit = project.edit(Region((0, 0, SIDE * index), (SIDE, SIDE, SIDE * (index + 1))))
    new = np.ones(edit.region.shape, np.uint8)
    new[: SIDE // 2] = value
    edit.record(new)
    return project.accept(edit.number)


def use_fake_job(monkeypatch=None):
    """Let `jobs.start` run a fake job instead of ``vesselkd finetune`` or ``distill``."""
    original = launch._launched

    def launched(command, log):
        run = command[command.index("--out") + 1]
        fake = next(FAKES[word] for word in command if word in FAKES)
        return original([sys.executable, str(Path(__file__).parent / "plugin" / fake), run], log)

    if monkeypatch is None:
        launch._launched = launched
    else:
        monkeypatch.setattr(launch, "_launched", launched)


def allow(run, step):
    """Let the fake job in the run folder go on to `step`."""
    aside = Path(run) / ".allowed"
    aside.write_text(str(step))
    aside.replace(Path(run) / "allowed")

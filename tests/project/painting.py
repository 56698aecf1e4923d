"""Paints in child processes and kills them: `python painting.py PROJECT ROUNDS SEED`, a line of JSON a round.

Each child opens the project, paints on a real napari Labels layer (no window) as fast as it can, and says on
a pipe what it is about to record and what it has recorded. It is killed at a random moment; then the journal
is replayed and compared with what was said. The children are forked, so that napari is imported once.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import zlib
from pathlib import Path

import numpy as np
from napari.layers import Labels

from napari_vesselkd.labels.edits import replay
from napari_vesselkd.project import Project
from napari_vesselkd.project.folder import read_folder


def paint_until_killed(path, seed, pipe):
    """Record strokes of a few brush stamps, now and then an undo or redo, for ever."""
    rng = random.Random(seed)
    project = Project.open(path)
    edit = project.edit_block(1)
    layer = Labels(edit.voxels.copy())
    layer.n_edit_dimensions = 3
    say(pipe, "ready", edit.voxels, project.read_only, edit.can_undo)
    stroke = 0
    while True:
        stroke += 1
        action = rng.random()
        if action < 0.2:
            say(pipe, "about", moved(edit, undo=action < 0.15))
            (edit.undo if action < 0.15 else edit.redo)()
            layer.data[...] = edit.voxels
            say(pipe, "done", edit.voxels)
            continue
        layer.brush_size = rng.choice([1, 3, 9])
        for _ in range(rng.randint(1, 5)):
            layer.paint([rng.randrange(size) for size in layer.data.shape], rng.randrange(3))
            say(pipe, "about", layer.data)
            edit.record(layer.data, stroke=stroke)
            say(pipe, "done", edit.voxels)


def moved(edit, undo):
    """Return what an undo or redo will give, worked out on a copy."""
    steps = edit._state.done if undo else edit._state.undone
    voxels = edit.voxels.copy()
    changes = steps[-1].changes if steps else []
    for change in reversed(changes) if undo else changes:
        change.revert(voxels) if undo else change.apply(voxels)
    return voxels


def say(pipe, word, voxels, *more):
    os.write(pipe, (json.dumps([word, zlib.crc32(voxels.tobytes()), *more]) + "\n").encode())


def one_round(path, seed):
    """Let a child paint, kill it at a random moment, and return what it said and what is on the disk."""
    rng = random.Random(seed)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        try:
            paint_until_killed(path, seed, write)
        finally:
            os._exit(1)
    os.close(write)
    with os.fdopen(read) as lines:
        said = [json.loads(lines.readline()) for _ in range(1 + rng.randrange(200))]
        time.sleep(rng.random() * 0.003)
        os.kill(child, signal.SIGKILL)
        said += [json.loads(line) for line in lines if line.endswith("\n")]
    _, status = os.waitpid(child, 0)
    folder = read_folder(path)
    found = replay(folder.edits_of(1), folder.identity)
    return {
        "killed": os.WTERMSIG(status) == signal.SIGKILL,
        "read_only": said[0][2],
        "can_undo": said[0][3],
        "began": said[0][1],
        "records": sum(word == "done" for word, *_ in said),
        "acknowledged": [value for word, value, *_ in said if word in ("done", "ready")][-1],
        "last": said[-1][:2],
        "found": zlib.crc32(found.voxels.tobytes()),
        "notice": found.notice,
    }


if __name__ == "__main__":
    import zarr  # noqa: F401 - loaded once, like all that the first stroke loads

    Labels(np.zeros((4, 4, 4), np.uint8)).paint([1, 1, 1], 1)
    for number in range(int(sys.argv[2])):
        print(json.dumps(one_round(Path(sys.argv[1]), int(sys.argv[3]) + number)), flush=True)

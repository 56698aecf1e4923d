"""Works on a project in child processes and kills them: `python operating.py PROJECT ROUNDS SEED`.

Each child opens the project and does what a person does, as fast as it can: strokes in two blocks and on the
sheet, operations across borders, accept, skip, undo, redo. It says on a pipe what the project is like after
each. It is killed at a random moment, amid any write. Then another child opens the project and says what it
found; a line of JSON a round. All are forked from a process that has loaded everything and opened nothing.
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

from histories import ONE, act, chosen, snapshot, steps_of
from napari_vesselkd.labels.edits import SHEET
from napari_vesselkd.project import Project, folded
from projects import check_agreement

LONGEST = 2  # operations before a child is killed
PAUSE = 0.1  # s at most from there on, of two or three operations
folded.WORTH_RECORDS = 0  # every opening keeps the history


def checksum(project):
    """Return what a person sees, in a number; which blocks are open is not undone."""
    _, voxels, *stores = snapshot(project)
    return zlib.crc32(repr([*voxels, *map(zlib.crc32, [*voxels.values(), *stores])]).encode())


def work(path, seed, pipe):
    rng = random.Random(seed)
    with Project.open(path) as project:
        say(pipe, checksum(project), len(done_of(project)))
        while True:
            for step in steps_of(*chosen(rng, project)):
                act(project, *step)
                say(pipe, checksum(project), len(done_of(project)))


def look(path, acknowledged, pipe):
    """Open what the killed one left; everything it had acknowledged must be there."""
    with Project.open(path) as project:
        if acknowledged % 4 == 0:  # all stores at all levels, which takes longer than the rest
            check_agreement(project)
        found = [checksum(project)]
        if found[0] != acknowledged:  # the operation in the middle: taken back it is gone
            for step, back in (("undo", "redo"), ("redo", "undo")):
                if getattr(project.history, step)() is not None:
                    found.append(checksum(project))
                    getattr(project.history, back)()
        for number in (SHEET, 1, 2):
            assert project._edit_of(number).notice is None
        np.testing.assert_array_equal(project.corrections.read(ONE), project.corrected(ONE))
        say(pipe, found, list(project.notices), len(done_of(project)))


def done_of(project):
    return [one for one in project.history.operations if not one.undone]


def say(pipe, *what):
    os.write(pipe, (json.dumps(what) + "\n").encode())


def forked(call, *arguments):
    """Start `call` in a child; return its number and what it says, line by line."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        status = 1
        try:
            call(*arguments, write)
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    return child, os.fdopen(read)


def one_round(path, seed):
    rng = random.Random(seed)
    child, lines = forked(work, path, seed)
    with lines:
        said = [json.loads(lines.readline()) for _ in range(1 + rng.randrange(LONGEST))]
        time.sleep(rng.random() * PAUSE)
        os.kill(child, signal.SIGKILL)
        said += [json.loads(line) for line in lines if line.endswith("\n")]
    killed = os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    acknowledged, count = said[-1]
    looker, lines = forked(look, path, acknowledged)
    with lines:
        told = [json.loads(line) for line in lines]
    fine = os.waitpid(looker, 0)[1] == 0 and len(told) == 1
    found, notices, after = told[0] if fine else ([], [], -1)
    return {
        "killed": killed,
        "fine": fine,
        "acknowledged": acknowledged in found,
        "in_the_middle": fine and found[0] != acknowledged,
        "steps": abs(after - count),
        "operations": len(said) - 1,
        "notices": notices,
    }


if __name__ == "__main__":
    from zarr.registry import get_pipeline_class

    get_pipeline_class()  # loaded once

    for number in range(int(sys.argv[2])):
        print(json.dumps(one_round(Path(sys.argv[1]), int(sys.argv[3]) + number)), flush=True)

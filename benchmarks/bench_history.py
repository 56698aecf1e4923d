"""Opening the project of a year: 2000 accepted blocks, 200 000 strokes, some of them on the sheet.

    python benchmarks/bench_history.py [--blocks 2000] [--strokes 100] [--keep FOLDER]

Journals are made as the program writes them, of one block that was really painted on, its records repeated
with other numbers. Printed are seconds (median and range of five openings, each in a process of its own,
files in the system's cache) and bytes read, against only reading the bytes of all journals.
"""

import argparse
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

BLOCK, SIDE = (64, 128, 128), 16  # voxels of a block; blocks in a row
ON_SHEET = 20  # one stroke in so many is painted anywhere
RUNS = 5


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    options.add_argument("--blocks", type=int, default=2000)
    options.add_argument("--strokes", type=int, default=100, help="of each block")
    options.add_argument("--keep", type=Path, help="where the project stays, or is already")
    options.add_argument("--once", choices=ONCE, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.once:
        print(json.dumps(ONCE[given.once](given.keep / "year.vesselkd")))
        return
    folder = given.keep or Path(tempfile.mkdtemp(prefix="bench-history-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if not (folder / "year.vesselkd").is_dir():
            make(folder, given.blocks, given.strokes)
        report(folder)
    finally:
        if given.keep is None:
            shutil.rmtree(folder)


def report(folder):
    print(f"{'':44}{'s, median':>10}{'from':>8}{'to':>8}{'MB read':>9}{'peak MB':>9}")
    for name in ONCE:
        found = [once(folder, name) for _ in range(1 if name == "first" else RUNS)]
        seconds = [one["seconds"] for one in found]
        print(
            f"{SAID[name]:44}{statistics.median(seconds):10.2f}{min(seconds):8.2f}{max(seconds):8.2f}"
            f"{found[0]['read'] / 1e6:9.1f}{found[0]['peak'] / 1e6:9.0f}"
        )
        said = {key: value for key, value in found[0].items() if key not in ("seconds", "read", "peak")}
    print(said)


def once(folder, name):
    done = subprocess.run(
        [sys.executable, __file__, "--keep", str(folder), "--once", name],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def measured(do):
    """Return what `do` takes: seconds, bytes that were read, peak memory."""
    import resource

    read, began = bytes_read(), time.perf_counter()
    said = do()
    return {
        "seconds": time.perf_counter() - began,
        "read": bytes_read() - read,
        "peak": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        **said,
    }


def bytes_read():
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(one for one in lines if one.startswith("rchar")).split()[1])


def only_read(path):
    def do():
        files = [path / "journal.jsonl", *(path / "edits").glob("*.jsonl")]
        return {"bytes": sum(len(one.read_bytes()) for one in files)}

    return measured(do)


def opened(path):
    from napari_vesselkd import Project

    project = []

    def do():
        project.append(Project.open(path))
        return {"blocks": len(project[0].blocks), "can_undo": project[0].history.can_undo}

    found = measured(do)
    project[0].close()
    return found


def first(path):
    (path / "history.folded").unlink(missing_ok=True)
    return opened(path)


def listed(path):
    from napari_vesselkd import Project

    with Project.open(path) as project:
        return measured(lambda: {"operations": len(project.history.operations)})


ONCE = {"bytes": only_read, "first": first, "again": opened, "list": listed}
SAID = {
    "bytes": "reading the bytes of all journals",
    "first": "opening with nothing kept of the history",
    "again": "opening",
    "list": "listing all operations, in an open project",
}


def make(folder, blocks, strokes):
    """Make the project of a year."""
    from napari_vesselkd import Project
    from napari_vesselkd.volume import create_multiscale, open_volume

    rows = -(-blocks // SIDE**2)
    shape = (BLOCK[0] * rows, BLOCK[1] * SIDE, BLOCK[2] * SIDE)
    create_multiscale(folder / "brain.ome.zarr", shape, np.uint8, voxel_size_um=(2, 1, 1))
    with open_volume(folder / "brain.ome.zarr") as volume:
        Project.create(folder / "year.vesselkd", volume).close()
    began = time.perf_counter()
    Year(folder / "year.vesselkd", blocks, strokes).write()
    print(f"made in {time.perf_counter() - began:.0f} s: {blocks} blocks, {blocks * strokes} strokes")


class Year:
    """Writes the journals of a project as a year of work leaves them."""

    def __init__(self, path, blocks, strokes):
        from napari_vesselkd.project.folder import read_folder

        self.folder, self.blocks, self.strokes = read_folder(path), blocks, strokes
        self.seq, self.rng = 0, random.Random(0)
        self.painted, self.start = painted(strokes)

    def write(self):
        from napari_vesselkd.geometry import Region
        from napari_vesselkd.labels.journal import encoded

        events, sheet = [], [self.beginning(0, Region.whole(self.folder.image.shape))]
        for number in range(1, self.blocks + 1):
            region = place(number)
            records = [{**self.beginning(number, region), "start": self.start}]
            events.append(self.entry(number, region, "open"))
            for stroke in self.painted:
                if self.rng.randrange(ON_SHEET) == 0:
                    sheet.append({**stroke, **self.stamp(), "step": len(sheet)})
                else:
                    records.append({**stroke, **self.stamp(), "step": len(records)})
            records.append({"kind": "accepted", "mark": 1})
            before, after = events[-1], self.entry(number, region, "accepted")
            events.append({**after, "does": "accept", "before": before, **self.stamp()})
            events += [{"event": one, "number": number} for one in ("stored", "shown")]
            self.folder.edits_of(number).write_bytes(b"".join(map(encoded, records)))
        self.folder.edits_of(0).write_bytes(b"".join(map(encoded, sheet)))
        events.append({"event": "sheet", "seq": self.seq, "boxes": []})
        with self.folder.journal.open("ab") as file:
            file.writelines(encoded({**one, "project": self.folder.id}) for one in events)

    def stamp(self):
        self.seq += 1
        return {
            "seq": self.seq,
            "who": "somebody",
            "at": f"2026-{1 + self.seq % 12:02d}-01T09:00:00.000+00:00",
        }

    def beginning(self, number, region):
        box = [list(region.start), list(region.stop)]
        first = {"kind": "begin", "number": number, "region": box, "format": 1, "axis": None}
        return {**first, **self.folder.identity}

    def entry(self, number, region, state):
        from napari_vesselkd.project.state import BlockState, Entry, ReviewBlock

        done = int(state == "accepted")
        block = ReviewBlock(
            number, region, BlockState(state), background=900_000 * done, vessel=20_000 * done
        )
        return Entry(block, done, number * done, number * done).to_event()


def painted(strokes):
    """Return the records of strokes in one block, and the voxels it began from, packed."""
    from napari_vesselkd.geometry import Region
    from napari_vesselkd.labels import BlockEdit, Journal
    from napari_vesselkd.phantoms import PhantomConfig, make_phantom

    phantom = make_phantom(PhantomConfig(shape=BLOCK, seed=1, scene="capillary"))
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.jsonl"
        start = (phantom.label > 0).astype(np.uint8) + 1
        edit = BlockEdit.begin(
            path, number=1, region=Region.whole(BLOCK), start=start, identity={"project": "p"}
        )
        grid, index = np.indices(BLOCK), 0
        while index < strokes:
            at = [int(rng.integers(0, side)) for side in BLOCK]
            ball = sum((one - low) ** 2 for one, low in zip(grid, at, strict=True)) < rng.integers(9, 100)
            index += edit.record(np.where(ball, 1 + index % 2, edit.voxels)) is not None
        edit.close()
        records = Journal.read(path)[0]
    return records[1:], records[0]["start"]


def place(number):
    from napari_vesselkd.geometry import Region

    index = number - 1
    at = (index // SIDE**2, index // SIDE % SIDE, index % SIDE)
    start = tuple(one * side for one, side in zip(at, BLOCK, strict=True))
    return Region(start, tuple(low + side for low, side in zip(start, BLOCK, strict=True)))


if __name__ == "__main__":
    main()

"""A job for tests: `python ticking.py RUN` reports as fast as it is let; files in RUN/../control steer it."""

import sys
import time
from pathlib import Path

from napari_vesselkd.jobs import RunFolder, Stopped, recorded
from napari_vesselkd.reports import Notice, Progress


def ticks(control, steps):
    yield Notice("begun")
    for step in range(steps):
        while not (control / "go").exists():
            time.sleep(0.01)
        if (control / "fail").exists():
            raise RuntimeError("a bug")
        yield Progress(step + 1, steps, "steps", 0.1)


if __name__ == "__main__":
    out = Path(sys.argv[-1])
    control = out.parent / "control"
    steps = int((control / "steps").read_text()) if (control / "steps").exists() else 10**9
    run = RunFolder.create(out, kind="tick", command=["tick", "--out", str(out)], config={"steps": steps})
    try:
        for _ in recorded(run, lambda: ticks(control, steps)):
            pass
    except Stopped:
        sys.exit(130)
    except OSError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)

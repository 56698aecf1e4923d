"""Correct a block of a project, fine-tune on it, look at what the gate says, segment again with the result.

    python examples/finetune_project.py [PROJECT.vesselkd]

Without a project it makes one of a small phantom and takes the exact truth for a person's corrections.
"""

import sys
from pathlib import Path

from napari_vesselkd import (
    FinetuneConfig,
    PhantomConfig,
    Project,
    Region,
    learn,
    make_phantom,
    open_volume,
    segment_project,
    write_phantom,
)

QUICK = FinetuneConfig(steps=6, batch=1, phantoms=0, phantom_share=0.0, validate_every=3, threads=1)


def corrected_phantom() -> Path:
    """Make brain.vesselkd, a project with three accepted blocks, and return its path."""
    phantom = make_phantom(PhantomConfig(shape=(16, 96, 96), seed=3, voxel_size_um=(4.0, 1.0, 1.0)))
    write_phantom(phantom, "brain")
    with open_volume("brain/image.ome.zarr") as volume, Project.create("brain.vesselkd", volume) as project:
        for text in ("0:16,0:48,0:48", "0:16,0:48,48:96", "0:16,48:96,0:48"):
            edit = project.edit(Region.parse(text, phantom.label.shape))
            edit.record(1 + (phantom.label[edit.region.slices] > 0).astype("uint8"))  # 1 background, 2 vessel
            project.accept(edit.number)
    return Path("brain.vesselkd")


def main() -> None:
    given = len(sys.argv) > 1
    path = Path(sys.argv[1]) if given else corrected_phantom()
    with Project.open(path) as project:
        run = project.new_run()
    *_, finished, judgement = (
        report
        for report in learn(path, run, FinetuneConfig() if given else QUICK)
        if type(report).__name__ in ("FinetuneFinished", "Judgement")
    )
    print(f"{finished.name}: {finished.steps} steps, {finished.checkpoint}")
    print(judgement.text)
    with Project.open(path) as project:
        if judgement.verdict == "better":
            project.promote(finished.name)
        *_, done = segment_project(project)
        print(f"{done.output}: {done.vessel_fraction:.1%} vessel with {done.checkpoint}")


if __name__ == "__main__":
    main()

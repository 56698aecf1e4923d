"""Correct a block of a segmentation from a script: the loop that the Correct tab runs by hand.

python examples/correct_and_accept.py [PROJECT.vesselkd]
"""

import sys

from napari_vesselkd import Project, SegmentConfig, open_volume, segment_project
from napari_vesselkd.phantoms import PhantomConfig, make_phantom, write_phantom
from napari_vesselkd.proofreading import review_list

phantom = make_phantom(PhantomConfig(shape=(32, 96, 96), seed=2))
if len(sys.argv) > 1:
    project = Project.open(sys.argv[1])
else:
    write_phantom(phantom, "phantom")
    with open_volume("phantom/image.ome.zarr") as volume:
        project = Project.create("phantom.vesselkd", volume)

with project:
    for _ in segment_project(project, SegmentConfig(device="cpu")):
        pass
    worst = review_list(project, side=48)[0]
    print(f"most uncertain block: {worst.region}, {worst.uncertainty:.2f} bits")

    edit = project.edit(worst.region)  # 0 unlabelled, 1 background, 2 vessel; begins from the prediction
    labels = edit.voxels.copy()
    if len(sys.argv) == 1:
        labels[:] = phantom.label[worst.region.slices] + 1  # the annotator knows the truth here
    edit.record(labels)  # journaled: survives kill -9 from here on
    block = project.accept(edit.number)
    print(f"block {block.number} {block.state}: {block.vessel} vessel voxels, held out: {block.held_out}")

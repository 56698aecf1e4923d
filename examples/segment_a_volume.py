"""Segment a volume from a script: the loop that the dock and the command line run too.

python examples/segment_a_volume.py [SOURCE OUTPUT.ome.zarr]
"""

import sys

from napari_vesselkd import SegmentConfig, open_volume, segment
from napari_vesselkd.inference import BlockDone, Preflight, SegmentFinished
from napari_vesselkd.phantoms import PhantomConfig, make_phantom, write_phantom

if len(sys.argv) > 2:
    source, output = sys.argv[1:3]
else:
    write_phantom(make_phantom(PhantomConfig(shape=(32, 96, 96), seed=2)), "phantom")
    source, output = "phantom/image.ome.zarr", "vessels.ome.zarr"

with open_volume(source) as volume:
    for report in segment(volume, output, SegmentConfig(device="cpu")):
        if isinstance(report, Preflight):
            print(report.text)
        elif isinstance(report, BlockDone):
            print(f"block {report.done} of {report.total}: {report.vessel_voxels} vessel voxels")
        elif isinstance(report, SegmentFinished):
            print(f"{report.output}: {report.vessel_fraction:.2%} vessel")

"""Open a volume of any format without reading it, and look at a part of it.

python examples/open_a_volume.py [SOURCE]
"""

import sys

from napari_vesselkd import Region, measure_intensity_window, open_volume
from napari_vesselkd.phantoms import PhantomConfig, make_phantom, write_phantom

if len(sys.argv) > 1:
    source = sys.argv[1]
else:
    write_phantom(make_phantom(PhantomConfig(shape=(32, 96, 96), seed=1)), "phantom")
    source = "phantom/image.ome.zarr"

with open_volume(source) as volume:
    print(f"{volume.format}, shape {volume.shape}, {volume.dtype}, voxels of {volume.voxel_size_um} um")
    for level, (array, size) in enumerate(zip(volume.levels, volume.level_voxel_sizes_um, strict=True)):
        print(f"level {level}: {array.shape}, voxels of {size} um")

    region = Region.whole(volume.shape)
    corner = Region(region.start, tuple(min(64, n) for n in volume.shape))
    block = volume.read(corner)
    print(f"region {corner}: {block.min()}..{block.max()}, mean {block.mean():.1f}")

    window = measure_intensity_window(volume)
    print(f"intensity window {window.low:g}..{window.high:g}, {window.saturated:.1%} of the voxels above it")

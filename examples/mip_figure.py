"""Make a figure: a maximum intensity projection with labels over it, square pixels and a scale bar.

python examples/mip_figure.py [SOURCE LABELS FIGURE.png]
"""

import sys

from napari_vesselkd import mip, open_volume
from napari_vesselkd.phantoms import PhantomConfig, make_phantom, write_phantom
from napari_vesselkd.projections import picture, pixel_size_um, write_png

if len(sys.argv) > 3:
    source, labels, figure = sys.argv[1:4]
else:
    write_phantom(make_phantom(PhantomConfig(shape=(32, 96, 96), seed=4)), "phantom")
    source, labels, figure = "phantom/image.ome.zarr", "phantom/label.ome.zarr", "mip.png"

with open_volume(source) as volume, open_volume(labels) as vessels:
    image, over = mip(volume, "z"), mip(vessels, "z")
    write_png(figure, picture(image, over, pixel_size_um=pixel_size_um("z", volume.voxel_size_um)))
print(f"{figure}: {image.shape[1]} x {image.shape[0]} pixels projected")

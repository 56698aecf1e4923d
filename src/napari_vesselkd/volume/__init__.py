"""The lazy 3D image: open any format, measure its intensity window, convert it, write pyramids.

Notation of the package: z, y, x are voxels in storage order; a level is one resolution, 0 the finest; a chunk
is the unit of storage; sizes and origins are (z, y, x) in um.
"""

from napari_vesselkd.volume.convert import ConvertConfig, ConvertFinished, convert
from napari_vesselkd.volume.intensity import IntensityWindow, measure_intensity_window
from napari_vesselkd.volume.lazy import AxisView, LazyArray
from napari_vesselkd.volume.ome_zarr import create_multiscale, open_levels, write_multiscale
from napari_vesselkd.volume.opening import open_volume, volume_from_arrays
from napari_vesselkd.volume.output import check_disk_space, claim_output, output_errors
from napari_vesselkd.volume.pyramid import downsample, level_shapes, update_pyramid
from napari_vesselkd.volume.sources import FILE_ENDINGS
from napari_vesselkd.volume.volume import Volume

__all__ = [
    "FILE_ENDINGS",
    "AxisView",
    "ConvertConfig",
    "ConvertFinished",
    "IntensityWindow",
    "LazyArray",
    "Volume",
    "check_disk_space",
    "claim_output",
    "convert",
    "create_multiscale",
    "downsample",
    "level_shapes",
    "measure_intensity_window",
    "open_levels",
    "open_volume",
    "output_errors",
    "update_pyramid",
    "volume_from_arrays",
    "write_multiscale",
]

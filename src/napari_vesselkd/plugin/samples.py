"""Sample data of napari's File > Open Sample menu: phantoms with exact ground truth."""

from typing import Any

import numpy as np

from napari_vesselkd.phantoms import Phantom, PhantomConfig, make_phantom, sample_phantom
from napari_vesselkd.plugin.layers import KEY, TRUTH_COLOURS, Shown
from napari_vesselkd.volume import volume_from_arrays

LayerData = tuple[Any, dict[str, Any], str]


def phantom_capillaries() -> list[LayerData]:
    """Return the fixed phantom that the demo segments, and its ground truth (hidden)."""
    return phantom_layers(sample_phantom(), "phantom")


def phantom_coarse_z() -> list[LayerData]:
    """Return a phantom with slices three times thicker than its pixels, as two-photon stacks have."""
    config = PhantomConfig(shape=(40, 256, 256), seed=11, voxel_size_um=(5.0, 1.6, 1.6))
    return phantom_layers(make_phantom(config), "phantom, coarse z")


def phantom_layers(phantom: Phantom, name: str) -> list[LayerData]:
    """Return the image and the hidden ground truth of `phantom` as napari layer data."""
    from napari.utils.colormaps import DirectLabelColormap

    place: dict[str, Any] = {
        "scale": phantom.voxel_size_um,
        "units": ("micrometer",) * 3,
        "axis_labels": ("z", "y", "x"),
    }
    volume = volume_from_arrays([phantom.image], voxel_size_um=phantom.voxel_size_um, name=name)
    low, high = (float(value) for value in _display_range(phantom))
    image = {
        "name": name,
        "contrast_limits": (low, high),
        "colormap": "gray",
        "metadata": {KEY: Shown(volume=volume, truth=phantom.label)},
        **place,
    }
    truth = {
        "name": f"{name}: ground truth",
        "visible": False,
        "opacity": 0.5,
        "colormap": DirectLabelColormap(color_dict=TRUTH_COLOURS),
        **place,
    }
    return [(phantom.image, image, "image"), (phantom.label, truth, "labels")]


def _display_range(phantom: Phantom) -> tuple[float, float]:
    low, high = np.percentile(phantom.image[::2, ::2, ::2], (1, 99.7))
    return float(low), max(float(high), float(low) + 1)

"""PNG, JPEG and BMP: one flat picture, read whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_vesselkd.volume.sources.found import Found, damaged


def open_picture(path: Path) -> Found:
    """Open a 2D picture as a volume of one slice.

    Raises
    ------
    CorruptSourceError
        If it cannot be decoded.
    """
    from skimage.io import imread

    try:
        pixels = np.asarray(imread(path))
    except Exception as error:  # Pillow raises many kinds
        raise damaged(path, "cannot be read as a picture", error) from error
    return Found(format="picture", arrays=(pixels,), axes="yx" if pixels.ndim == 2 else "yxs")

"""What the detector and the file format make of light: noise, smoothing, contrast curve, whole numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_vesselkd.phantoms.appearance import Appearance

F32 = npt.NDArray[np.float32]


def detect(light: F32, look: Appearance, rng: np.random.Generator) -> npt.NDArray[np.uint16]:
    """Return the stored volume, (z, y, x) uint16 in 0 .. 2**bits - 1.

    Noise is Poisson in the photons plus Gaussian; the brightest 0.2 % of the light is put at `gain` times
    full scale, so that a gain above 1 saturates.
    """
    image = rng.poisson(np.maximum(light, 0) * look.photons).astype(np.float32) / np.float32(look.photons)
    if look.read_noise:
        image += np.float32(look.read_noise) * rng.standard_normal(image.shape, dtype=np.float32)
    if look.line_noise:
        grain = ndimage.uniform_filter1d(rng.standard_normal(image.shape, dtype=np.float32), 5, axis=2)
        image += np.float32(look.line_noise * 2.2) * grain * np.sqrt(np.maximum(light, 0.02))
    if look.denoise == 1:
        soft = float(rng.uniform(0.4, 0.9))
        image = ndimage.gaussian_filter(image, (0, soft, soft * rng.uniform(0.7, 2.0)))
    elif look.denoise == 2:
        image = ndimage.median_filter(image, (1, 3, 3))
    top = float(np.percentile(light[:, ::2, ::2], 99.8)) + 1e-6
    image = np.maximum(image / np.float32(top), 0) ** np.float32(look.gamma)
    full = 2 ** round(look.bits) - 1
    stored = np.clip(np.rint(full * (image * look.gain + look.offset)), 0, full)
    return np.asarray(stored, np.uint16)

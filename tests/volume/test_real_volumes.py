"""The real volumes: opened, converted, measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_vesselkd.geometry import Region
from napari_vesselkd.volume import convert, measure_intensity_window, open_volume

VOLUMES = {
    "vesselnn_2photon/images/burgess2014_bbbDisruption.tif": ((15, 512, 512), None),
    "vesselnn_2photon/images/burgess2014_lowerRes_hiSNR.tif": ((26, 320, 320), None),
    "vesselnn_2photon/images/burgess2014_noisySparseVessels.tif": ((10, 512, 512), None),
    "vesselnn_2photon/images/burgess2014_tgMouse.tif": ((15, 512, 512), None),
    "vesselnn_2photon/images/poon2015_BBB_Leakage.tif": ((25, 512, 512), None),
    "vesselnn_2photon/images/poon2015_BBB_noLeakage.tif": ((25, 512, 512), None),
    "vesselnn_2photon/images/poon2015_plaqueVessels.tif": ((14, 512, 512), None),
    "vesselexpress_lightsheet/image.tif": ((100, 100, 100), None),
    "vmtk_aorta/aorta.mha": ((34, 393, 157), (1500.09, 878.906, 878.906)),
    "totalseg_cta/aorta/ct_cropped.nii.gz": ((164, 126, 120), (1500, 1500, 1500)),
    "totalseg_cta/pulmonary/ct_cropped.nii.gz": ((112, 102, 122), (1500, 1500, 1500)),
    "vessap_synthetic_label/label.nii.gz": ((600, 304, 325), (1000, 1000, 1000)),
    "vessmap2d/data/vessmap_examples/images/356.tiff": ((1, 256, 256), None),
}


@pytest.mark.parametrize("name", VOLUMES)
def test_a_real_volume_opens_and_converts(vesselkd_data: Path, tmp_path: Path, name: str) -> None:
    shape, size = VOLUMES[name]
    with open_volume(vesselkd_data / name) as volume:
        assert volume.shape == shape
        assert volume.voxel_size_um == pytest.approx(size or (1, 1, 1))
        window = measure_intensity_window(volume)
        *_, finished = convert(volume, tmp_path / "v.ome.zarr")
        with open_volume(finished.output) as converted:  # type: ignore[attr-defined]
            for region in Region.whole(shape).pieces((64, 512, 512)):
                np.testing.assert_array_equal(converted.read(region), volume.read(region))
            assert measure_intensity_window(converted).high == pytest.approx(window.high, rel=0.05)
    values = window.apply(np.asarray(np.random.default_rng(0).normal(window.low, 1, 100)))
    assert 0 <= values.min() <= values.max() <= 1


def test_one_slice_of_a_gzipped_volume_is_that_of_the_file(vesselkd_data: Path) -> None:
    import nibabel

    path = vesselkd_data / "vessap_synthetic_label" / "label.nii.gz"
    expected = np.asarray(nibabel.load(path).dataobj)
    with open_volume(path) as volume:
        for z in (599, 3, 300):
            block = volume.read(Region((z, 10, 20), (z + 1, 300, 310)))
            np.testing.assert_array_equal(block[0], expected[20:310, 10:300, z].T)

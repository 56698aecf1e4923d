"""Accuracy of the bundled students, zero-shot, beside what simple methods reach on the same volumes.

    VESSELKD_DATA=... python benchmarks/bench_accuracy.py [--phantoms 12] [--markdown docs/accuracy-table.md]

Every volume goes through the public API with its defaults: the voxel size chooses the checkpoint, its card
the intensity window and the threshold. The baselines are oracles: the threshold of the image, and of Sato's
filter at 1, 2 and 4 voxels, that give the best Dice against the reference itself. Without $VESSELKD_DATA only
phantoms are scored, from seeds that no training has used.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from napari_vesselkd import SegmentConfig, Volume, evaluate, make_phantom, open_volume, segment
from napari_vesselkd.inference import SegmentFinished
from napari_vesselkd.measure.baselines import oracle_sato, oracle_threshold
from napari_vesselkd.phantoms import PhantomConfig
from napari_vesselkd.volume import volume_from_arrays

TWO_PHOTON_UM = {
    "burgess2014_bbbDisruption": 0.994,
    "burgess2014_lowerRes_hiSNR": 1.59,
    "burgess2014_noisySparseVessels": 0.994,
    "burgess2014_tgMouse": 0.994,
    "poon2015_BBB_Leakage": 0.994,
    "poon2015_BBB_noLeakage": 0.994,
    "poon2015_plaqueVessels": 2.485,
}
HELD_OUT = 5_000_000
METHODS = ("student", "threshold", "sato")


@dataclass(frozen=True)
class Case:
    group: str
    name: str
    volume: Volume
    reference: np.ndarray


def two_photon(data: Path) -> Iterator[Case]:
    folder = data / "vesselnn_2photon"
    for name, xy in TWO_PHOTON_UM.items():
        volume = open_volume(folder / "images" / f"{name}.tif", voxel_size_um=(5.0, xy, xy))
        reference = tifffile.imread(folder / "labels" / f"{name}.tif") > 0
        yield Case("two-photon", name.split("_", 1)[1], volume, reference)


def others(data: Path) -> Iterator[Case]:
    folder = data / "vesselexpress_lightsheet"
    volume = open_volume(folder / "image.tif", voxel_size_um=(1.0, 1.0, 1.0))
    yield Case(
        "other",
        "light-sheet crop (label made by a filter)",
        volume,
        tifffile.imread(folder / "label.tif") > 0,
    )
    folder = data / "vmtk_aorta"
    level_set = open_volume(folder / "aorta-final-levelset.mha")
    inside = np.asarray(level_set.levels[0][...]) < 0
    yield Case("other", "contrast aorta (level set, one vessel)", open_volume(folder / "aorta.mha"), inside)
    for part, label in (("aorta", "aorta"), ("pulmonary", "pulmonary_artery")):
        folder = data / "totalseg_cta" / part
        reference = np.asarray(open_volume(folder / f"{label}.nii.gz").levels[0][...]) > 0
        yield Case(
            "other",
            f"CT crop, {part} only (label made by a net)",
            open_volume(folder / "ct_cropped.nii.gz"),
            reference,
        )


def phantoms(count: int) -> Iterator[Case]:
    for kind, ratio in (("coarse z", 4.0), ("isotropic", 1.0)):
        shape = (24, 192, 192) if ratio > 2 else (96, 96, 96)
        for number in range(count):
            xy = 0.7 + 1.5 * number / max(1, count - 1)
            size = (min(ratio * xy, 6.0), xy, xy)
            phantom = make_phantom(PhantomConfig(shape=shape, seed=HELD_OUT + number, voxel_size_um=size))
            if not phantom.label.any():
                continue
            volume = volume_from_arrays([phantom.image], voxel_size_um=size, name=f"phantom {number}")
            yield Case(f"phantoms, {kind}", f"phantom {number}", volume, phantom.label > 0)


def student_mask(case: Case, options: argparse.Namespace) -> tuple[np.ndarray, str, float]:
    config = SegmentConfig(
        checkpoint=options.checkpoint, threshold=options.threshold, precision=options.precision
    )
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "labels.ome.zarr"
        *_, finished = segment(case.volume, output, config)
        assert isinstance(finished, SegmentFinished)
        with open_volume(output) as labels:
            return np.asarray(labels.levels[0][...]) > 0, finished.checkpoint, finished.threshold


def scores(case: Case, options: argparse.Namespace) -> dict[str, tuple[float, float, float]]:
    image = np.asarray(case.volume.levels[0][...])
    image = np.where(np.isfinite(image), image, 0)
    mask, checkpoint, threshold = student_mask(case, options)
    masks = {
        "student": mask,
        "threshold": oracle_threshold(image, case.reference).mask,
        "sato": oracle_sato(image, case.reference).mask,
    }
    found = {}
    for method, one in masks.items():
        metrics = evaluate(one, case.reference, case.volume.voxel_size_um)
        found[method] = (metrics.dice, metrics.cldice, metrics.hd95_um)
    print(f"# {case.group}: {case.name}, {checkpoint} at {threshold:g}: {found}", flush=True)
    return found


def row(name: str, found: dict[str, tuple[float, float, float]]) -> str:
    cells = [" / ".join([*(f"{value:.3f}" for value in found[m][:2]), f"{found[m][2]:.1f}"]) for m in METHODS]
    return "| " + " | ".join([name, *cells]) + " |"


def mean(rows: list[dict[str, tuple[float, float, float]]]) -> dict[str, tuple[float, float, float]]:
    return {m: tuple(np.nanmean([one[m] for one in rows], axis=0)) for m in METHODS}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--phantoms", type=int, default=12, help="of each kind")
    parser.add_argument("--checkpoint", default="auto")
    parser.add_argument("--threshold", type=float)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--markdown", type=Path, help="also write the table there")
    options = parser.parse_args()
    lines = [
        "| volume | student Dice / clDice / HD95 um | oracle threshold | oracle Sato |",
        "|---|---|---|---|",
    ]
    data = os.environ.get("VESSELKD_DATA")
    groups: dict[str, list[dict[str, tuple[float, float, float]]]] = {}
    sources = [two_photon(Path(data)), others(Path(data))] if data else []
    for source in [*sources, phantoms(options.phantoms)]:
        for case in source:
            found = scores(case, options)
            groups.setdefault(case.group, []).append(found)
            if not case.group.startswith("phantoms"):
                lines.append(row(case.name, found))
    for group, rows in groups.items():
        if group != "other":
            lines.append(row(f"**mean of {len(rows)} {group}**", mean(rows)))
    table = "\n".join(lines) + "\n"
    print(table)
    if options.markdown:
        options.markdown.write_text(table)


if __name__ == "__main__":
    main()

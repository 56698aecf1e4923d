"""Whether distillation works: the methods of the papers, cross-validated on phantoms and real volumes.

    python benchmarks/bench_vpbsd.py --out DIR              # phantoms, everything: for a CUDA machine
    python benchmarks/bench_vpbsd.py --out DIR --reduced    # phantoms, few methods and steps: for a CPU
    VESSELKD_DATA=... python benchmarks/bench_vpbsd.py --out DIR --data two-photon [--reduced]

With --reduced the teacher of each part begins with the bundled one, or with the --teacher that is given
behind --; else it is pretrained there.

The phantoms are 40 volumes of 96^3 voxels in 5 groups, of all kinds, or with --data instrument capillary beds
under one microscope; of those to learn from 6 have labels (--labelled) and the rest count as unlabelled: what
more labels are worth is what the best pseudo-labels could be. The two-photon volumes are 7 in 5 groups, one
of which is held out at a time; the images of those to learn from are the unlabelled data too, and all or
--labelled of them have labels. Nothing of a held-out group is seen by any stage.

It makes the data set in DIR/data, then runs `vesselkd crossval` into DIR/compared; run again, it goes on, and
several may run at a time. --processes N shares the work on one machine. Words behind -- go to crossval, for
example `-- --set distill.steps=2000`, or to begin with the bundled networks
`-- --teacher teacher-small --student auto`.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench_accuracy import TWO_PHOTON_UM

from napari_vesselkd.cli import main as vesselkd
from napari_vesselkd.phantoms import PhantomConfig, make_phantom
from napari_vesselkd.volume import write_multiscale

VOLUMES, GROUPS, SIDE, LABELLED = 40, 5, 96, 6
FIRST_SEED = 7_000_000  # of phantoms that no training or benchmark has used
COLUMNS = ("image", "label", "group", "voxel_size_um")
SAME = {  # never to be split: one animal, one acquisition
    "burgess2014_lowerRes_hiSNR": "burgess2014_rat",
    "burgess2014_noisySparseVessels": "burgess2014_rat",
    "poon2015_BBB_Leakage": "poon2015_BBB",
    "poon2015_BBB_noLeakage": "poon2015_BBB",
}
METHODS = (
    "baseline,kd,fitnets,vid,ab,mean-teacher,ua-mt,entropy,vpbsd,vpbsd-without-codes,vpbsd-without-pseudo,"
    "hint-and-pseudo"
)
FEW = "baseline,fitnets,vpbsd,vpbsd-without-codes,vpbsd-without-pseudo"
SIZES = {"full": (3, METHODS), "reduced": (1, FEW)}
TEACHER = "teacher-small"  # that reduced comparisons begin with
# Steps at which the losses have settled on these small data sets; the papers' 300 epochs are for larger ones.
FULL = (
    ("pretrain.steps", 6000),
    ("pretrain.batch", 16),
    ("pretrain.precision", "bf16"),
    ("teach.steps", 3000),
    ("teach.batch", 4),
    ("teach.learning_rate", 1e-5),
    ("teach.decoder_rate", 1e-3),
    ("teach.precision", "bf16"),
    ("distill.steps", 10_000),
    ("distill.pool", 4000),  # places; labels alone draw a new one each time
)
REDUCED = (  # the bundled teacher knows phantoms already: it learns gently
    ("teach.steps", 120),
    ("teach.learning_rate", 1e-5),
    ("teach.decoder_rate", 1e-5),
    ("teach.head_rate", 1e-5),
    ("teach.validate_every", 120),
    ("distill.steps", 600),
    ("distill.pool", 300),
    ("distill.validate_every", 600),
)
INSTRUMENT = PhantomConfig(
    shape=(SIDE,) * 3,
    modality="two_photon",
    scene="capillary",
    voxel_size_um=(1.6, 1.6, 1.6),
    density=0.4,
    appearance={
        **{"clarity": 2.0, "photons": 40, "read_noise": 0.03, "line_noise": 0.03, "denoise": 0, "bits": 16},
        **{"gain": 0.5, "gamma": 1.0, "offset": 0.02, "psf_z_um": 3.0, "psf_xy_um": 1.2, "level": 0.15},
        **{"cells": 150, "cell_light": 1.5, "debris": 100, "debris_light": 1.0, "beads": 0.6},
        **{"branch_spread": 0.4, "tree_spread": 0.4, "organs": 0, "bones": 0},
    },
)
FLAT = (("distill.patch", [32, 96, 96]),)


def of_all_kinds(number: int) -> PhantomConfig:
    """Return the phantom of that number."""
    xy = 0.8 + 1.4 * (number // GROUPS) / (VOLUMES // GROUPS)
    return PhantomConfig(shape=(SIDE,) * 3, seed=FIRST_SEED + number, voxel_size_um=(xy, xy, xy))


def of_one_instrument(number: int) -> PhantomConfig:
    """Return the phantom of that number."""
    return replace(INSTRUMENT, seed=FIRST_SEED + 100_000 + number)


def phantoms(config_of: Callable[[int], PhantomConfig], folder: Path) -> Iterator[dict[str, str]]:
    """Write the phantoms that are missing; yield their rows."""
    for number in range(VOLUMES):
        image, label = (folder / f"{kind}-{number:02d}.ome.zarr" for kind in ("image", "label"))
        config = config_of(number)
        size = config.voxel_size_um
        if not (folder / f"done-{number:02d}").exists():
            made = make_phantom(config)
            write_multiscale(image, made.image, voxel_size_um=size, levels=1)
            write_multiscale(label, made.label, voxel_size_um=size, levels=1, label=True)
            (folder / f"done-{number:02d}").touch()
            print(
                f"phantom {number + 1} of {VOLUMES}: {float((made.label > 0).mean()):.1%} vessel", flush=True
            )
        yield row(image.name, label.name, f"group-{number % GROUPS + 1}", size)


def two_photon(_: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of the real volumes: each with its labels, and once more without."""
    data = os.environ.get("VESSELKD_DATA")
    if not data:
        raise SystemExit("Set VESSELKD_DATA to the folder of real volumes")
    folder = Path(data).absolute() / "vesselnn_2photon"
    for name, xy in TWO_PHOTON_UM.items():
        image, label = (str(folder / kind / f"{name}.tif") for kind in ("images", "labels"))
        yield row(image, label, SAME.get(name, name), (5.0, xy, xy))
        yield row(image, "", SAME.get(name, name), (5.0, xy, xy))


KINDS = {
    "phantoms": partial(phantoms, of_all_kinds),
    "instrument": partial(phantoms, of_one_instrument),
    "two-photon": two_photon,
}


def row(image: str, label: str, group: str, size: tuple[float, ...]) -> dict[str, str]:
    """Return a row of DATASET.csv."""
    return dict(zip(COLUMNS, (image, label, group, ",".join(f"{part:g}" for part in size)), strict=True))


def data_set(kind: str, folder: Path) -> Path:
    """Return a DATASET.csv, made where it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "dataset.csv"
    if not path.exists():
        rows = list(KINDS[kind](folder))
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
    return path


def command(options: argparse.Namespace, data: Path) -> list[str]:
    """Return the words behind ``vesselkd``."""
    seeds, methods = SIZES["reduced" if options.reduced else "full"]
    words = ["crossval", str(data), "--out", str(options.out / "compared"), "--folds", str(GROUPS)]
    words += ["--seeds", str(options.seeds or seeds), "--methods", options.methods or methods]
    words += ["--preset", "quick" if options.reduced else "evidence", "--processes", str(options.processes)]
    settings = [*(REDUCED if options.reduced else FULL)]
    if options.reduced and "--teacher" not in options.more:
        words += ["--teacher", TEACHER]
    if options.data == "two-photon":
        settings += FLAT
    labelled = options.labelled or (LABELLED if options.data != "two-photon" else None)
    if labelled:
        words += ["--labelled", str(labelled)]
    for key, value in settings:
        words += ["--set", f"{key}={value}"]
    return [*words, *options.more]


def main() -> None:
    """Make the data set, then compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", choices=(*KINDS,), default="phantoms")
    parser.add_argument(
        "--labelled", type=int, help=f"of the volumes to learn from; {LABELLED} phantoms, all two-photon ones"
    )
    parser.add_argument("--reduced", action="store_true", help="few methods, one seed, few steps")
    parser.add_argument("--methods", help="with commas between them")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("more", nargs="*", help="behind --: words for crossval")
    options = parser.parse_args()
    words = command(options, data_set(options.data, options.out / "data"))
    print("vesselkd", *words, flush=True)
    sys.exit(vesselkd(words))


if __name__ == "__main__":
    main()

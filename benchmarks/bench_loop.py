"""What correcting is worth: a simulated annotator copies the ground truth of block after block.

On each of the seven two-photon stacks: a project is made, segmented with the bundled student, blocks are
taken from the review list (the most uncertain first, or at random), their ground truth is copied and
accepted, the student is fine-tuned from them as `vesselkd finetune` does it (a share of them held out), and
the new checkpoint is scored on everything that was not corrected, beside the bundled student and the oracle
threshold there. Phantoms it has not seen tell what was forgotten.

    VESSELKD_DATA=... python benchmarks/bench_loop.py --out DIR [--counts 1,3,5,10] [--seeds 0,1,2]
        [--orders list,random] [--volumes tgMouse,...] [--set steps=200 ...] [--markdown FILE]

Results go to DIR/results.jsonl, one line each; the command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import time
from pathlib import Path

import numpy as np
from bench_accuracy import HELD_OUT, TWO_PHOTON_UM, two_photon

from napari_vesselkd import SegmentConfig, evaluate, make_phantom, segment
from napari_vesselkd.inference.into_project import segment_project
from napari_vesselkd.labels import LabelStore
from napari_vesselkd.learning import Judgement, learn
from napari_vesselkd.measure.baselines import oracle_threshold
from napari_vesselkd.measure.topology import centreline_counts
from napari_vesselkd.phantoms import PhantomConfig
from napari_vesselkd.project import Project
from napari_vesselkd.proofreading import review_list
from napari_vesselkd.training.finetune import FinetuneConfig, FinetuneFinished
from napari_vesselkd.training.validation import cldice_of
from napari_vesselkd.volume import open_volume, volume_from_arrays, write_multiscale

PHANTOMS = 6


def scores(mask, reference, where) -> tuple[float, float]:
    """Return Dice and clDice inside `where`."""
    both = 2 * np.count_nonzero(mask & reference & where)
    total = np.count_nonzero(mask & where) + np.count_nonzero(reference & where)
    return both / max(1, total), cldice_of(centreline_counts(mask, reference, where))


def predicted(volume, checkpoint, folder) -> np.ndarray:
    output = folder / "prediction.ome.zarr"
    shutil.rmtree(output, ignore_errors=True)
    for _ in segment(volume, output, SegmentConfig(checkpoint=checkpoint)):
        pass
    return np.asarray(LabelStore.open(output).levels[0][...]) > 0


def corrected_project(case, folder, count, order, seed) -> Path:
    """Make a project with `count` accepted blocks of ground truth, as a person would come to it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    image = np.asarray(case.volume.levels[0][...])
    write_multiscale(folder / "image.ome.zarr", image, voxel_size_um=case.volume.voxel_size_um)
    path = folder / "image.vesselkd"
    with open_volume(folder / "image.ome.zarr") as volume, Project.create(path, volume) as project:
        for _ in segment_project(project):
            pass
        kind = "random" if order == "random" else "uncertainty"
        for candidate in review_list(project, order=kind, seed=seed)[:count]:
            edit = project.edit(candidate.region)
            edit.record((1 + case.reference[edit.region.slices]).astype(np.uint8))
            project.accept(edit.number)
    return path


def turn(case, folder, count, order, seed, config) -> dict:
    """Return the scores of one fine-tuning from `count` blocks."""
    project_path = corrected_project(case, folder, count, order, seed)
    began, cpu = time.perf_counter(), time.process_time()
    finished = judged = None
    for report in learn(project_path, project_path / "runs" / "finetune-001", config):
        finished = report if isinstance(report, FinetuneFinished) else finished
        judged = report if isinstance(report, Judgement) else judged
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    with Project.open(project_path) as project, project.open_image() as volume:
        where = np.ones(volume.shape, bool)
        for block in project.blocks:
            where[block.region.slices] = False
        new = predicted(volume, finished.checkpoint, folder)
        old = predicted(volume, "auto", folder)
    oracle = oracle_threshold(np.asarray(case.volume.levels[0][...]), case.reference).mask
    result = {
        "volume": case.name,
        "count": count,
        "order": order,
        "seed": seed,
        "left": round(float(where.mean()), 3),
        "new": scores(new, case.reference, where),
        "old": scores(old, case.reference, where),
        "oracle": scores(oracle, case.reference, where),
        "threshold": finished.thresholds[-1],
        "training_seconds": finished.seconds,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "verdict": judged.verdict,
        "cldice_gain": judged.cldice_gain,
        "dice_gain": judged.dice_gain,
    }
    if count == 5:
        result["phantoms_new"] = on_phantoms(finished.checkpoint, folder)
    shutil.rmtree(folder, ignore_errors=True)
    return result


def on_phantoms(checkpoint, folder) -> tuple[float, float]:
    """Return mean Dice and clDice on phantoms that were never trained on."""
    found = []
    for number in range(PHANTOMS):
        xy = 0.7 + 1.5 * number / (PHANTOMS - 1)
        size = (min(4 * xy, 6.0), xy, xy)
        phantom = make_phantom(
            PhantomConfig(shape=(24, 192, 192), seed=HELD_OUT + number, voxel_size_um=size)
        )
        volume = volume_from_arrays([phantom.image], voxel_size_um=size, name=f"phantom {number}")
        metrics = evaluate(predicted(volume, checkpoint, folder), phantom.label > 0, size)
        found.append((metrics.dice, metrics.cldice))
    dice, cldice = np.nanmean(found, axis=0)
    return float(dice), float(cldice)


def table(results) -> list[str]:
    """Return the rows: mean and SD over seeds per volume, order and count, and the means over volumes."""
    rows = [
        "| order | blocks | volume | bundled Dice / clDice | oracle threshold | fine-tuned (SD over seeds) |",
        "|---|---|---|---|---|---|",
    ]
    keys = sorted({(r["order"], r["count"]) for r in results})
    for order, count in keys:
        chosen = [r for r in results if (r["order"], r["count"]) == (order, count) and r["left"] > 0]
        means = []
        for volume in dict.fromkeys(r["volume"] for r in chosen):
            mine = [r for r in chosen if r["volume"] == volume]
            stack = {kind: np.array([r[kind] for r in mine], float) for kind in ("old", "oracle", "new")}
            means.append([stack[kind].mean(axis=0) for kind in ("old", "oracle", "new")])
            rows.append(_row(order, count, volume, means[-1], stack["new"].std(axis=0), len(mine)))
        if means:
            rows.append(_row(order, count, f"**mean of {len(means)}**", np.mean(means, axis=0), None, 0))
    return rows


def _row(order, count, volume, means, spread, seeds) -> str:
    cells = [f"{dice:.3f} / {cldice:.3f}" for dice, cldice in means]
    if spread is not None:
        cells[2] += f" ({spread[0]:.3f} / {spread[1]:.3f}, {seeds} seeds)"
    return "| " + " | ".join([order, str(count), volume, *cells]) + " |"


def summary(results) -> list[str]:
    lines = []
    for count in sorted({r["count"] for r in results}):
        mine = [r for r in results if r["count"] == count and r["left"] > 0]
        if not mine:
            continue
        times = [r["seconds"] for r in mine]
        better = sum(r["new"][1] > r["old"][1] for r in mine)
        dice = sum(r["new"][0] > r["old"][0] for r in mine)
        above = sum(r["new"][1] > r["oracle"][1] for r in mine)
        gated = np.mean([r["new"] if r["verdict"] == "better" else r["old"] for r in mine], axis=0)
        promoted = sum(r["verdict"] == "better" for r in mine)
        lines.append(
            f"{count} blocks, {len(mine)} runs: clDice above before in {better}, Dice in {dice}, clDice over "
            f"the oracle threshold in {above}; copying, training and gate {np.median(times):.0f} s "
            f"(largest {max(times):.0f} s). Promoting only what the gate calls better ({promoted} of "
            f"{len(mine)}): Dice {gated[0]:.3f}, clDice {gated[1]:.3f}"
        )
    phantoms = [r["phantoms_new"] for r in results if "phantoms_new" in r]
    if phantoms:
        dice, cldice = np.mean(phantoms, axis=0)
        lines.append(f"phantoms after (mean over {len(phantoms)} runs): Dice {dice:.3f}, clDice {cldice:.3f}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--counts", default="5,3,1,10")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--orders", default="list,random")
    parser.add_argument("--volumes", default="")
    parser.add_argument("--set", nargs="*", default=[])
    parser.add_argument("--threads", type=int)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    data = os.environ.get("VESSELKD_DATA")
    if not data:
        raise SystemExit("VESSELKD_DATA is not set: there is nothing to measure on")
    changes = {key: json.loads(value) for key, value in (one.split("=") for one in options.set)}
    options.out.mkdir(parents=True, exist_ok=True)
    log = options.out / "results.jsonl"
    results = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    wanted = options.volumes.split(",") if options.volumes else [n.split("_", 1)[1] for n in TWO_PHOTON_UM]
    cases = [case for case in two_photon(Path(data)) if case.name in wanted]
    done = {(r["volume"], r["count"], r["order"], r["seed"]) for r in results}
    for count in map(int, options.counts.split(",")):
        for seed in map(int, options.seeds.split(",")):
            for order in options.orders.split(","):
                for case in cases:
                    if (case.name, count, order, seed) in done or math.prod(case.volume.shape[1:]) <= (
                        count * 128**2
                    ):
                        continue
                    config = FinetuneConfig(**{"seed": seed, "threads": options.threads, **changes})
                    found = turn(case, options.out / "work", count, order, seed, config)
                    results.append(found)
                    with log.open("a") as stream:
                        stream.write(json.dumps(found) + "\n")
                    print(json.dumps(found), flush=True)
    before = on_phantoms("student-coarse-z", options.out)
    lines = [*table(results), "", *summary(results)]
    lines.append(f"phantoms before: Dice {before[0]:.3f}, clDice {before[1]:.3f}")
    print("\n".join(lines))
    if options.markdown:
        options.markdown.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

"""What the review queue is worth: a simulated annotator corrects the blocks it is shown, the student learns.

On seven two-photon stacks and three phantoms, for each seed: half of the blocks (64 x 64, all slices) are
never shown; of the others 2, 5 and 10 are, in the order of the review queue, of the plain entropy or at
random; after each of these counts the bundled student is fine-tuned anew and the list is made anew from what
it predicts. clDice and Dice on the blocks that nobody saw. An order with a number goes up to that count;
"errors" is the order of who knows where the centreline is wrong. `--setting places` takes phantoms that are
good but for one place instead (`queue_places.py`).

    VESSELKD_DATA=... nice -n 10 python benchmarks/bench_queue.py --out DIR [--seeds 0,1,2,3,4]
        [--orders random:10,entropy:5,queue:5] [--cases tgMouse,...] [--steps 60]
        [--errors 0.05] [--minutes 30] [--setting places]

Results go to DIR/results.jsonl, one line for each training; the command goes on where it was stopped, seed
after seed. `--table` only prints what is there. `--found` trains nothing: how much of the bundled student's
wrong centreline lies in the first tenth, quarter and half of the blocks of each order.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import torch
from queue_annotator import Case, Learner, annotated, cases, scores, split
from queue_places import placed_cases
from queue_scoring import SHARES, by_queue, errors_found

from napari_vesselkd.proofreading.queue_lines import line_difference

COUNTS = (2, 5, 10)
ORDERS = ("random:10", "entropy:10", "queue:10")
PAIRS = (  # what is compared, on the same cases and seeds
    (("queue", 2), ("random", 2)),
    (("queue", 5), ("random", 5)),
    (("queue", 5), ("entropy", 5)),
    (("queue", 5), ("random", 10)),
    (("queue", 2), ("entropy", 2)),
    (("entropy", 2), ("random", 2)),
    (("entropy", 5), ("random", 5)),
    (("queue", 2), ("random", 10)),
    (("cover", 2), ("random", 2)),
    (("cover", 5), ("random", 5)),
    (("worth", 5), ("random", 5)),
    (("random", 10), ("random", 5)),
    (("random", 5), ("none", 0)),
    (("queue", 5), ("none", 0)),
    (("random", 10), ("none", 0)),
    (("random", 10), ("random", 2)),
    (("errors", 2), ("random", 2)),
    (("errors", 5), ("random", 5)),
    (("errors", 5), ("random", 10)),
    (("entropy", 5), ("random", 10)),
    (("queue", 10), ("random", 10)),
)


def choose(
    case: Case, learner: Learner, order: str, pool: list[int], shown: list[int], count: int, seed: int
):
    """Return which blocks come next, so that `count` have been shown."""
    left = [number for number in pool if number not in shown]
    wanted = count - len(shown)
    if order == "random":
        drawn = np.random.default_rng([seed, 3]).permutation(pool).tolist()
        return [number for number in drawn if number in left][:wanted]
    found = learner.probability()
    if order == "entropy":
        bits = entropy(found)
        return sorted(left, key=lambda n: -float(bits[case.blocks[n].slices].mean()))[:wanted]
    if order == "errors":
        wrong = line_difference(found >= learner.threshold, case.truth)
        return sorted(left, key=lambda n: -int(wrong[case.blocks[n].slices].sum()))[:wanted]
    return by_queue(case, learner, found, left, shown, wanted, order)


def entropy(probability: np.ndarray) -> np.ndarray:
    p = np.clip(probability, 1e-6, 1 - 1e-6)
    return -(p * np.log2(p) + (1 - p) * np.log2(1 - p))


def one_run(case: Case, wanted: str, seed: int, options, done: set, write) -> None:
    """Correct block after block, learn after each count; lines that are there already are not made again."""
    order, _, most = wanted.partition(":")
    counts = [count for count in COUNTS if count <= int(most or COUNTS[-1])]
    keys = [(case.name, order, seed, count, options.errors) for count in counts]
    pool, unseen = split(case, seed)
    keys = [key for key in keys if key[3] < len(pool)]
    if all(key in done for key in keys):
        return
    learner, shown = Learner(case, options.steps, seed), []
    labels: dict[int, np.ndarray] = {}
    for key in keys:
        began = time.process_time()
        for number in choose(case, learner, order, pool, shown, key[3], seed):
            shown.append(number)
            labels[number] = annotated(case, case.blocks[number], options.errors, seed)
        if order == "random" and key in done:  # what comes next does not depend on what was learned
            continue
        learner.learn(labels)
        if key in done:
            continue
        dice, cldice = scores(case, learner.probability() >= learner.threshold, unseen)
        write(
            {
                "case": case.name,
                "order": order,
                "seed": seed,
                "count": key[3],
                "errors": options.errors,
                "steps": options.steps,
                "cldice": round(cldice, 4),
                "dice": round(dice, 4),
                "threshold": learner.threshold,
                "shown": shown[:],
                "cpu_seconds": round(time.process_time() - began, 1),
            }
        )


def before(case: Case, seed: int, options, done: set, write) -> None:
    """Write the scores of the bundled student on the blocks that are scored."""
    key = (case.name, "none", seed, 0, options.errors)
    if key in done:
        return
    learner = Learner(case, options.steps, seed)
    dice, cldice = scores(case, learner.probability() >= learner.threshold, split(case, seed)[1])
    names = ("case", "order", "seed", "count", "errors")
    write({**dict(zip(names, key, strict=True)), "cldice": round(cldice, 4), "dice": round(dice, 4)})


def table(results: list[dict]) -> list[str]:
    """Return mean clDice and Dice per order and count, and paired differences with 95 % intervals.

    The intervals are of the mean over cases and seeds, cases drawn with all their seeds (cluster bootstrap).
    """
    by = {(r["errors"], r["case"], r["seed"], r["order"], r["count"]): r for r in results}
    lines = ["| errors | order | blocks | clDice | Dice | runs |", "|---|---|---|---|---|---|"]
    for errors, order, count in sorted({(r["errors"], r["order"], r["count"]) for r in results}):
        mine = [r for r in results if (r["errors"], r["order"], r["count"]) == (errors, order, count)]
        cells = ["{:.3f} ({:.3f} to {:.3f})".format(*interval(mine, kind)) for kind in ("cldice", "dice")]
        lines.append(f"| {errors:.0%} | {order} | {count} | {cells[0]} | {cells[1]} | {len(mine)} |")
    lines += ["", "| errors | less | clDice | Dice | pairs |", "|---|---|---|---|---|"]
    for one, other in PAIRS:
        for errors in sorted({r["errors"] for r in results}):
            pairs = []
            for key, r in by.items():
                twin = by.get((*key[:3], *other))
                if key[0] == errors and key[3:] == one and twin is not None:
                    pairs.append({**r, **{kind: r[kind] - twin[kind] for kind in ("cldice", "dice")}})
            if pairs:
                cells = [
                    "{:+.3f} ({:+.3f} to {:+.3f})".format(*interval(pairs, k)) for k in ("cldice", "dice")
                ]
                what = f"{one[0]} {one[1]} less {other[0]} {other[1]}"
                lines.append(f"| {errors:.0%} | {what} | {cells[0]} | {cells[1]} | {len(pairs)} |")
    return lines


def interval(rows: list[dict], kind: str) -> tuple[float, float, float]:
    """Return the mean over rows and its 95 % interval, whole cases drawn again."""
    names = sorted({r["case"] for r in rows})
    values = [np.array([r[kind] for r in rows if r["case"] == name]) for name in names]
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(2000):
        chosen = [values[i] for i in rng.integers(len(values), size=len(values))]
        drawn.append(np.concatenate([rng.choice(one, len(one)) for one in chosen]).mean())
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(np.concatenate(values).mean()), float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--orders", default=",".join(ORDERS))
    parser.add_argument("--cases", default="")
    parser.add_argument("--setting", choices=("stacks", "places"), default="stacks")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--errors", type=float, default=0.0)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="CPU minutes, then stop")
    parser.add_argument("--table", action="store_true", help="only print what was measured")
    parser.add_argument("--found", action="store_true", help="how soon errors are found; no training")
    options = parser.parse_args()
    if options.found:
        print("\n".join(found_table(options)))
        return
    options.out.mkdir(parents=True, exist_ok=True)
    log = options.out / "results.jsonl"
    results = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    if not options.table:
        _measure(options, log, results)
    print("\n".join(table(results)))


def found_table(options) -> list[str]:
    """Return the share of wrong centreline that each order finds in its first blocks, as a table."""
    torch.set_num_threads(1)
    wanted = [name for name in options.cases.split(",") if name]
    found = {case.name: errors_found(case) for case in cases(data_folder(), wanted)}
    lines = ["| volume | order | " + " | ".join(f"first {share:.0%}" for share in SHARES) + " |"]
    lines.append("|---" * (2 + len(SHARES)) + "|")
    groups = {name: [name] for name in found}
    groups["**mean of the stacks**"] = [name for name in found if not name.startswith("phantom")]
    groups["**mean of the phantoms**"] = [name for name in found if name.startswith("phantom")]
    for group, names in groups.items():
        for order in next(iter(found.values())) if names else ():
            means = np.mean([found[name][order] for name in names], axis=0)
            lines.append(f"| {group} | {order} | " + " | ".join(f"{value:.2f}" for value in means) + " |")
    return lines


def data_folder() -> Path:
    data = os.environ.get("VESSELKD_DATA")
    if not data:
        raise SystemExit("VESSELKD_DATA is not set: there is nothing to measure on")
    return Path(data)


def _measure(options, log: Path, results: list[dict]) -> None:
    torch.set_num_threads(1)
    done = {tuple(one[key] for key in ("case", "order", "seed", "count", "errors")) for one in results}

    def write(line: dict) -> None:
        results.append(line)
        with log.open("a") as stream:
            stream.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)

    wanted = [name for name in options.cases.split(",") if name]
    places = options.setting == "places"
    found = list(placed_cases(wanted) if places else cases(data_folder(), wanted))
    for seed in map(int, options.seeds.split(",")):
        for case in found:
            before(case, seed, options, done, write)
            for order in options.orders.split(","):
                if time.process_time() > 60 * options.minutes:
                    return
                one_run(case, order, seed, options, done, write)


if __name__ == "__main__":
    main()

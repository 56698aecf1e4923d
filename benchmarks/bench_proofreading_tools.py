"""The worth of the proofreading tools: planted errors found, repaired, and what that takes of a person.

    python benchmarks/bench_proofreading_tools.py [--seeds 36] [--fit 100]
    VESSELKD_DATA=... python benchmarks/bench_proofreading_tools.py --real 3

Phantoms with planted gaps (half of them faint in the image), spurs, false pieces and merged neighbours
(`planted_errors`), seeds 0 and up; the weights of the gaps were fitted with `--fit` on seeds 1000 and up.
Promise: 80 % of the planted gaps proposed at 90 % precision. A proposal is right if it joins the two sides of
a planted gap that none before it joined; "or a vessel" counts those too that follow a centreline of the
phantom which its label is too coarse to hold. Intervals are over seeds (bootstrap of phantoms, 95 %).
Measured on seeds 0 to 35 (254 gaps), weights of seeds 1000 to 1099 (89 have gaps; by shape 1000 to 1039), the
least score .7 chosen on those by five-fold cross-validation: 81 % (75-87) are proposed at 97 % precision
(94-100), 98 % with vessels; at .5, 86 % (81-91) at 92 % (88-95). Before stubs were ends and the image was
judged behind and beyond too: 76 % at 87 %. The promise is kept.
Spurs of the same seeds (174): 45 % (35-73) are repaired, 84 % (55-93) of the proposals are right; it was 41 %
at 51 %. What is left makes no branch of the skeleton, or is as bright as a vessel.
In the drawn labels of seven two-photon stacks, errors drawn three times (`--real 3`, 200 gaps): 84 % (78-89)
are proposed, at 63 % precision (54-74); 32 are proposed in the labels as they were drawn, three times that in
all draws together, so nearly all that join no planted gap. Spurs 40 %, false pieces 84 %, with many others.
Interactions: a key to accept or reject each proposal, two clicks for a split; with the brush alone one stroke
for each connected patch of wrong voxels in each slice, which is the least that can do.
"""

import argparse
from collections import Counter

import numpy as np
from bench_queue import data_folder
from planted_errors import EVERYWHERE, Lines, joins, planted
from planted_real import real_cases
from scipy import ndimage
from scipy.optimize import minimize

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import Region, as_shape
from napari_vesselkd.proofreading.tools import component_proposals, gap_proposals, split, spur_proposals
from napari_vesselkd.proofreading.tools.gap_score import NAMES, terms
from napari_vesselkd.proofreading.tools.gaps import LEAST_SCORE, gap_candidates

LEVELS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
FIRST_TO_FIT = 1000
PENALTY = 20.0
DARK = 0.3  # weight of a dark twin
SEEN = ("mean", "least", "contrast", "distinct", "core", "clear", "weakest", "behind", "beyond")


def on_a_vessel(places, case, lines):
    """Return whether voxels (N, 3) lie on the centreline of the phantom, nine in ten."""
    outside = places[~case.wrong[tuple(places.T)]]
    distance, _ = lines.tree.query(outside * np.asarray(case.size))
    return len(outside) > 0 and float((distance <= 0.87 * max(case.size)).mean()) >= 0.9


def judge_gaps(case, lines, with_image):
    """Return (score, the planted gaps it joins first, whether it follows a vessel) of each proposal."""
    found = gap_proposals(
        case.wrong, case.size, image=case.image if with_image else None, least_score=min(LEVELS)
    )
    taken, rows = set(), []
    for one in found:
        path = np.round(np.array(one.points)).astype(int)
        hits = [n for n, gap in enumerate(case.of("gap")) if joins(gap, case.wrong, one.mask, one.region)]
        fresh = [n for n in hits if n not in taken]
        taken |= set(hits)
        rows.append((one.score, fresh, not hits and on_a_vessel(path, case, lines)))
    return rows


def gap_table(rows, totals):
    """Return recall, precision and precision "or a vessel" at each level from rows per seed."""
    table = []
    for level in LEVELS:
        kept = [[row for row in one if row[0] >= level] for one in rows]
        right = sum(bool(row[1]) for one in kept for row in one)
        joined = sum(len(row[1]) for one in kept for row in one)
        vessel = sum(row[2] for one in kept for row in one)
        offered = sum(map(len, kept))
        table.append(
            (joined / max(sum(totals), 1), right / max(offered, 1), (right + vessel) / max(offered, 1))
        )
    return np.array(table)


def interval(rows, totals, rounds=500):
    rng = np.random.default_rng(0)
    drawn = [rng.integers(len(rows), size=len(rows)) for _ in range(rounds)]
    tables = [gap_table([rows[i] for i in one], [totals[i] for i in one]) for one in drawn]
    return np.percentile(tables, [2.5, 97.5], axis=0)


def gaps(cases, with_image):
    rows = [judge_gaps(case, lines, with_image) for case, lines in cases]
    totals = [len(case.of("gap")) for case, _ in cases]
    table, (low, high) = gap_table(rows, totals), interval(rows, totals)
    print(f"\n{sum(totals)} planted gaps, {'with' if with_image else 'without'} image")
    print("score at least   proposed            precision           or a vessel")
    for number, level in enumerate(LEVELS):
        cells = [
            f"{table[number, i]:6.1%} ({low[number, i]:.0%}-{high[number, i]:.0%})".ljust(20)
            for i in range(3)
        ]
        print(f"{level:8.1f}        " + "".join(cells))
    if with_image:
        faint = [gap.faint for case, _ in cases for gap in case.of("gap")]
        joined = Counter()
        for (case, _), one in zip(cases, rows, strict=True):
            for score, hits, _ in one:
                if score >= LEAST_SCORE:
                    joined.update(case.of("gap")[n].faint for n in hits)
        others = f"{joined[False]} of {faint.count(False)} others"
        print(f"at {LEAST_SCORE}: {joined[True]} of {sum(faint)} faint gaps, {others}")
    return rows


def overlaps(change, error):
    common = change.region.intersection(error.region)
    if common is None:
        return 0.0
    both = change.mask[common.relative_to(change.region.start).slices]
    return float((both & error.voxels[common.relative_to(error.region.start).slices]).sum())


def taken_out(cases, kind, offer):
    """Print how many planted errors of a kind the proposals take out, and what else they would."""
    total = repaired = offered = false = 0
    for case, _ in cases:
        wanted = case.of(kind)
        found = offer(case)
        good = set()
        for change in found:
            hits = [n for n, one in enumerate(wanted) if overlaps(change, one) > 0.5 * one.voxels.sum()]
            hits = [n for n in hits if overlaps(change, wanted[n]) > 0.5 * change.count]
            good |= set(hits)
            false += not hits
        total, repaired, offered = total + len(wanted), repaired + len(good), offered + len(found)
    share = repaired / max(total, 1)
    print(f"{kind:7} planted {total:4}  repaired {share:6.1%}  proposals {offered:4}  false {false:4}")


def merged(cases):
    """Two clicks at the centrelines of merged neighbours: how many come apart, and how well."""
    total = parted = 0
    removed = []
    for case, _ in cases:
        for error in case.of("merged"):
            total += 1
            places = np.array([*error.sides, error.region.start, error.region.stop])
            box = Region(as_shape(places.min(axis=0)), as_shape(places.max(axis=0) + 1)).expanded((3, 6, 6))
            try:
                change = split(*error.sides, vessel=case.wrong, voxel_size_um=case.size, image=case.image)
            except InvalidInputError:
                continue
            after = case.wrong.copy()
            after[change.voxels] = False
            low = [max(0, one) for one in box.start]
            part = tuple(slice(a, b) for a, b in zip(low, box.stop, strict=True))
            label, _ = ndimage.label(after[part], EVERYWHERE)
            ends = [label[tuple(np.subtract(side, low))] for side in error.sides]
            parted += bool(ends[0] and ends[1] and ends[0] != ends[1])
            removed.append(float(case.truth[change.voxels].mean()) if change.count else 0.0)
    share = float(np.median(removed)) if removed else float("nan")
    print(f"merged  planted {total:4}  parted   {parted / max(total, 1):6.1%}  two clicks each", end="; ")
    print(f"{share:.0%} of the wall was vessel (median)")


def untouched(cases):
    """Print what is proposed in the labels as they were drawn, with nothing planted."""
    stacks = {id(case.phantom): case for case, _ in cases}.values()
    found = [
        len(gap_proposals(case.truth, case.size, image=case.phantom.image, least_score=LEAST_SCORE))
        for case in stacks
    ]
    print(f"gaps proposed in the labels as they were drawn: {sum(found)} in {len(found)} stacks, {found}")


def strokes(error):
    """Return the least number of strokes that paint an error slice by slice."""
    return sum(int(ndimage.label(plane, np.ones((3, 3)))[1]) for plane in error.voxels)


def interactions(cases, rows):
    """Accept or reject every proposal and click twice for a split, against the brush for the same errors."""
    keys = brush = repaired = 0
    for (case, _), one in zip(cases, rows, strict=True):
        kept = [row for row in one if row[0] >= LEAST_SCORE]
        keys += len(kept)
        joined = {n for row in kept for n in row[1]}
        repaired += len(joined)
        brush += sum(strokes(case.of("gap")[n]) for n in joined)
    print(
        f"\ngaps repaired: {repaired}, with {keys} keys; with the brush alone at least {brush} strokes",
        end="",
    )
    print(f" ({brush / max(keys, 1):.1f}x)")


def fit(count):
    """Fit the weights of `gap_score` on phantoms that are not judged on; print them.

    A candidate that follows a vessel but closes no planted gap is neither right nor wrong, and left out.
    """
    for with_image in (True, False):
        rows, right = [], []
        for seed in range(FIRST_TO_FIT, FIRST_TO_FIT + count):
            case = planted(seed)
            lines = Lines(case.phantom)
            for gap in gap_candidates(case.wrong, case.size, image=case.image if with_image else None):
                mask = np.zeros(gap.box.shape, bool)
                mask[tuple(gap.path.T)] = True
                hit = any(joins(one, case.wrong, mask, gap.box) for one in case.of("gap"))
                if hit or not on_a_vessel(gap.path + np.asarray(gap.box.start), case, lines):
                    rows.append(gap.features.as_array())
                    right.append(hit)
        print(
            "WITH_IMAGE" if with_image else "BY_SHAPE",
            [round(float(w), 3) for w in weights(np.array(rows), np.array(right), with_image)],
        )


def dark_twins(rows, seed=0):
    """Return features (N, F) as if the image were dark across these gaps: no vessel goes on there.

    The phantoms' gaps are never quite dark; without these the shape alone would outvote an image that denies.
    Noise and length stay those of the gap; what is left on the path is -.05 to .08 of the vessel's contrast.
    """
    at = {name: number for number, name in enumerate(NAMES)}
    twins, left = rows.copy(), np.random.default_rng(seed).uniform(-0.05, 0.08, len(rows))
    noise = np.expm1(np.clip(rows[:, at["behind"]], 0, 4))  # the vessel's contrast in units of it
    steps = np.expm1(rows[:, at["voxels"]])
    for name, value in (
        ("core", left),
        ("mean", np.clip(left, 0, 1) + 0.03),
        ("least", np.clip(left - 0.04, 0, 1)),
        ("contrast", np.clip(left, 0, 1)),
        ("distinct", signed_log(left * noise * np.sqrt(steps / 2) / 2)),
        ("clear", signed_log(left * noise * np.sqrt(2 * steps))),
        ("weakest", left - 0.06),
    ):
        twins[:, at[name]] = value
    return twins


def signed_log(value):
    return np.sign(value) * np.log1p(np.abs(value))


def weights(rows, right, with_image):
    """Return the weights of a logistic model, with a penalty on their squares."""
    plain, target, share = rows.copy(), right.astype(float), np.ones(len(rows))
    if with_image:
        twins = dark_twins(plain[right])
        plain = np.concatenate([plain, twins])
        target = np.r_[target, np.zeros(len(twins))]
        share = np.r_[share, np.full(len(twins), DARK)]
    else:
        plain[:, [NAMES.index(name) for name in SEEN]] = 0
    values = terms(plain)
    mean, spread = values.mean(axis=0), values.std(axis=0) + 1e-9
    used = values.std(axis=0) > 0
    scaled = np.where(used, (values - mean) / spread, 0)

    def loss(w):
        s = scaled @ w[:-1] + w[-1]
        miss = share * (1 / (1 + np.exp(-s)) - target)
        value = (share * (np.logaddexp(0, s) - target * s)).sum() + PENALTY * (w[:-1] ** 2).sum() / 2
        return value, np.r_[scaled.T @ miss + PENALTY * w[:-1], miss.sum()]

    w = minimize(loss, np.zeros(values.shape[1] + 1), jac=True, method="L-BFGS-B").x
    each = np.where(used, w[:-1] / spread, 0)
    return np.r_[each, w[-1] - each @ mean]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=36)
    parser.add_argument("--fit", type=int, default=0)
    parser.add_argument("--real", type=int, default=0, help="draws of errors in each of the real stacks")
    given = parser.parse_args()
    if given.fit:
        fit(given.fit)
        return
    if given.real:
        cases = list(real_cases(data_folder(), given.real))
    else:
        cases = [(case, Lines(case.phantom)) for case in map(planted, range(given.seeds))]
    cases = [one for one in cases if one[0].of("gap")]
    rows = gaps(cases, True)
    gaps(cases, False)
    print()
    taken_out(cases, "spur", lambda case: spur_proposals(case.wrong, case.size, image=case.image))
    taken_out(cases, "piece", lambda case: component_proposals(case.wrong, case.size, image=case.image))
    if given.real:
        untouched(cases)
    else:
        merged(cases)
    interactions(cases, rows)


if __name__ == "__main__":
    main()

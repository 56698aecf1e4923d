"""From scores of volumes to what can be said of a method: mean, spread, and paired differences.

A row is a dictionary with `method`, `fold`, `seed`, `volume`, and metrics by name. A metric that a row lacks
was not measured; None, NaN and infinity are not defined (HD95 of an empty mask). Neither enters a mean; the
second kind is counted, because leaving them out can flatter a method.

A volume counts once: its value is the mean over its seeds.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from napari_vesselkd.errors import InvalidInputError

Rows = Sequence[Mapping[str, Any]]
Part = tuple[int, int]  # fold, seed
Place = tuple[int, int, str]  # fold, seed, volume
Values = npt.NDArray[np.float64]

LEVEL = 0.95
FEWEST_FOLDS = 5
DRAWS = 20_000
NOT_METRICS = ("method", "fold", "seed", "volume", "group")


@dataclass(frozen=True)
class Score:
    """One metric of one method.

    Attributes
    ----------
    mean : float
        Over volumes, each the mean of its seeds; NaN if nothing is defined.
    sd_parts : float
        Sample SD of the means of the (fold, seed) pairs; NaN below two.
    sd_volumes : float
        Sample SD of the volumes; NaN below two.
    volumes, parts, values : int
        What `mean`, the two SDs and both are made of: volumes, (fold, seed) pairs, rows.
    undefined : int
        Rows left out because the metric is not defined there.
    """

    method: str
    metric: str
    mean: float
    sd_parts: float
    sd_volumes: float
    volumes: int
    parts: int
    values: int
    undefined: int


@dataclass(frozen=True)
class Difference:
    """One metric of a method less that of the reference, on the same volumes and seeds.

    Attributes
    ----------
    mean : float
        Over volumes, each the mean of its seeds; NaN without a pair.
    low, high : float
        95 % interval by the bootstrap over folds, the one to quote; NaN with one fold. See `differences`.
    t_low, t_high, p : float
        Interval and two-sided p of the plain paired t-test over volumes; NaN below two volumes.
    folds, volumes, pairs : int
        What it is made of.
    undefined : int
        Pairs left out because the metric is not defined on one side.
    caution : str
        What is to be said with the interval; empty if nothing.
    """

    method: str
    reference: str
    metric: str
    mean: float
    low: float
    high: float
    t_low: float
    t_high: float
    p: float
    folds: int
    volumes: int
    pairs: int
    undefined: int
    caution: str = ""


def metrics_of(rows: Rows) -> tuple[str, ...]:
    """Return the names under which rows hold numbers (None counts), in the order they come up."""
    found: dict[str, bool] = {}
    for row in rows:
        for name, value in row.items():
            if name not in NOT_METRICS:
                found[name] = found.get(name, True) and (value is None or _is_number(value))
    return tuple(name for name, numbers in found.items() if numbers)


def methods_of(rows: Rows) -> tuple[str, ...]:
    """Return the methods in the order they come up."""
    return tuple(dict.fromkeys(str(row["method"]) for row in rows))


def summarise(rows: Rows, metrics: Iterable[str] | None = None) -> list[Score]:
    """Return the score of each method in each metric that it was measured in.

    Raises
    ------
    InvalidInputError
        If two rows are of the same method, fold, seed and volume.
    """
    wanted, table = tuple(metrics or metrics_of(rows)), _by_method(rows)
    return [
        _score(method, metric, measured)
        for method, places in table.items()
        for metric in wanted
        if (measured := _measured(places, metric))
    ]


def differences(rows: Rows, reference: str, metrics: Iterable[str] | None = None) -> list[Difference]:
    """Return each other method's difference to `reference`, paired by fold, seed and volume.

    Notes
    -----
    The interval is a bootstrap that draws whole folds: the volumes of a fold were segmented by the same
    network, so they are not independent, and drawing volumes would give too narrow an interval. A percentile
    interval of few draws is too narrow too (5 folds: 85 % instead of 95 %), so the percentiles are expanded
    to those of Student's t with folds - 1 degrees of freedom (T. Hesterberg, What Teachers Should Know About
    the Bootstrap, Am. Stat. 69, 2015, section 5.3: "expanded percentile"). It cannot reach beyond the folds'
    means: with 5 folds it holds the truth about 92 % of the time, with 3 about 75 %, hence the caution.

    The paired t-test over volumes is a cross-check without draws; it takes volumes as independent and is too
    narrow where those of a fold go together.

    Neither knows that the folds' networks learned from overlapping data, nor what other seeds would give.

    Raises
    ------
    InvalidInputError
        If no row is of `reference`, or two rows are of the same method, fold, seed and volume.
    """
    wanted, table = tuple(metrics or metrics_of(rows)), _by_method(rows)
    if reference not in table:
        raise InvalidInputError(
            "There is no result of the reference method", value=reference, limit=", ".join(table)
        )
    return [
        _difference(method, reference, metric, mine, theirs)
        for method, places in table.items()
        if method != reference
        for metric in wanted
        if (mine := _measured(places, metric)) and (theirs := _measured(table[reference], metric))
    ]


def _difference(
    method: str, reference: str, metric: str, mine: Mapping[Place, float], theirs: Mapping[Place, float]
) -> Difference:
    both = {place: mine[place] - theirs[place] for place in mine if place in theirs}
    pairs = {place: value for place, value in both.items() if math.isfinite(value)}
    volumes = _by_volume(pairs)
    values = np.array(list(volumes.values()), dtype=np.float64)
    folds = [fold for fold, _ in volumes]
    low, high = _fold_interval(values, folds)
    t_low, t_high, p = _t_interval(values)
    return Difference(
        method,
        reference,
        metric,
        float(values.mean()) if values.size else math.nan,
        low,
        high,
        t_low,
        t_high,
        p,
        len(set(folds)),
        len(volumes),
        len(pairs),
        len(both) - len(pairs),
        _caution(len(set(folds))),
    )


def _fold_interval(values: Values, folds: Sequence[int]) -> tuple[float, float]:
    """Return the expanded percentile interval of the mean of `values` when whole folds are drawn."""
    _, member = np.unique(np.array(folds, dtype=int), return_inverse=True)
    sizes = np.bincount(member)
    count = len(sizes)
    if count < 2:
        return math.nan, math.nan
    sums = np.bincount(member, weights=values)
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=DRAWS)
    means = (drawn @ sums) / (drawn @ sizes)
    wide = math.sqrt(count / (count - 1)) * stats.t.ppf((1 + LEVEL) / 2, count - 1)
    tail = float(stats.norm.sf(wide))
    low, high = np.quantile(means, (tail, 1 - tail))
    return float(low), float(high)


def _t_interval(values: Values) -> tuple[float, float, float]:
    """Return low, high and p of the paired t-test over independent volumes."""
    if values.size < 2:
        return math.nan, math.nan, math.nan
    if np.ptp(values) == 0:  # scipy warns: no spread
        return float(values[0]), float(values[0]), 1.0 if values[0] == 0 else 0.0
    with warnings.catch_warnings():  # differences that are all but equal lose digits: then p is 0 as well
        warnings.simplefilter("ignore", RuntimeWarning)
        test = stats.ttest_1samp(values, 0.0)
        interval = test.confidence_interval(LEVEL)
    return float(interval.low), float(interval.high), float(test.pvalue)


def _caution(folds: int) -> str:
    if folds == 0:
        return "no pairs"
    if folds == 1:
        return "one fold: no interval"
    return f"only {folds} folds: the interval is too narrow" if folds < FEWEST_FOLDS else ""


def _score(method: str, metric: str, measured: Mapping[Place, float]) -> Score:
    known = {place: value for place, value in measured.items() if math.isfinite(value)}
    volumes, parts = list(_by_volume(known).values()), list(_by_part(known).values())
    return Score(
        method,
        metric,
        float(np.mean(volumes)) if volumes else math.nan,
        _sd(parts),
        _sd(volumes),
        len(volumes),
        len(parts),
        len(known),
        len(measured) - len(known),
    )


def _by_method(rows: Rows) -> dict[str, dict[Place, Mapping[str, Any]]]:
    found: dict[str, dict[Place, Mapping[str, Any]]] = {}
    for row in rows:
        place = (int(row["fold"]), int(row["seed"]), str(row["volume"]))
        places = found.setdefault(str(row["method"]), {})
        if place in places:
            raise InvalidInputError(
                "A volume has two results of one method",
                value=f"{row['method']}, fold {place[0]}, seed {place[1]}, {place[2]}",
                limit="one for each method, fold, seed and volume",
            )
        places[place] = row
    return found


def _measured(places: Mapping[Place, Mapping[str, Any]], metric: str) -> dict[Place, float]:
    """Return a metric where it was measured; NaN where it is not defined."""
    return {
        place: float(row[metric]) if _is_number(row[metric]) else math.nan
        for place, row in places.items()
        if metric in row
    }


def _by_volume(values: Mapping[Place, float]) -> dict[tuple[int, str], float]:
    """Return the mean over seeds of each fold's volumes."""
    found: dict[tuple[int, str], list[float]] = {}
    for (fold, _, volume), value in values.items():
        found.setdefault((fold, volume), []).append(value)
    return {name: float(np.mean(many)) for name, many in found.items()}


def _by_part(values: Mapping[Place, float]) -> dict[Part, float]:
    """Return the mean over volumes of each fold and seed."""
    found: dict[Part, list[float]] = {}
    for (fold, seed, _), value in values.items():
        found.setdefault((fold, seed), []).append(value)
    return {name: float(np.mean(many)) for name, many in found.items()}


def _sd(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)

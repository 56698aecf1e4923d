"""Phantom segmentations with errors of known place: gaps, spurs, false pieces, merged neighbours.

Everything is drawn from one seed. Notation: voxels (z, y, x), lengths in um, `truth` the phantom's label.
A gap takes out what is nearest to a piece of the centreline of one vessel; half of the gaps are faint in the
image too, as those are that a network leaves. Gaps that do not separate their two sides are not planted.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from napari_vesselkd.geometry import Region, as_shape
from napari_vesselkd.phantoms import PhantomConfig, make_phantom
from napari_vesselkd.phantoms.raster import Segments, signed_distance

EVERYWHERE = np.ones((3, 3, 3), bool)
SHAPE = (32, 160, 160)


@dataclass
class Error:
    kind: str
    region: Region
    voxels: np.ndarray  # bool, of the region: taken out (gap) or put in (the others)
    sides: tuple = ()  # two voxels: of a gap or of merged neighbours
    faint: bool = False

    def mask(self, shape):
        whole = np.zeros(shape, bool)
        whole[self.region.slices] = self.voxels
        return whole


@dataclass
class Planted:
    phantom: object
    image: np.ndarray
    wrong: np.ndarray  # the segmentation with errors, bool
    errors: list = field(default_factory=list)

    @property
    def truth(self):
        return self.phantom.label > 0

    @property
    def size(self):
        return self.phantom.voxel_size_um

    def of(self, kind):
        return [error for error in self.errors if error.kind == kind]


def planted(seed, *, shape=SHAPE, **fields):
    """Return a phantom with errors of each kind."""
    phantom = make_phantom(PhantomConfig(shape=shape, seed=seed, **fields))
    found = Planted(phantom, phantom.image.astype(np.float32), phantom.label > 0)
    plant(found, Lines(phantom), np.random.default_rng([seed, 6]))
    return found


def plant(found, lines, rng, *, gaps=12, spurs=8, pieces=8, merged=4):
    """Plant at most so many errors of each kind."""
    if len(lines.places):
        plant_merged(found, lines, merged, rng)
        plant_gaps(found, lines, gaps, rng)
        plant_spurs(found, lines, spurs, rng)
    plant_pieces(found, pieces, rng)


class Lines:
    """The centrelines of a phantom, densely: place, radius, edge and arc of each point."""

    def __init__(self, phantom):
        step = 0.5 * min(phantom.voxel_size_um)
        places, radius, edge, arc = [], [], [], []
        self.ends = []
        for number, (a, b, data) in enumerate(phantom.graph.edges(data=True)):
            points, radii = data["points"], data["radius_um"]
            along = np.r_[0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))]
            fine = np.linspace(0, along[-1], max(2, int(along[-1] / step)))
            places.append(np.stack([np.interp(fine, along, points[:, i]) for i in range(3)], axis=1))
            radius.append(np.interp(fine, along, radii))
            edge.append(np.full(len(fine), number))
            arc.append(fine)
            self.ends.append((a, b))
        self.places = np.concatenate(places) if places else np.zeros((0, 3))
        self.radius, self.edge, self.arc = (
            np.concatenate(one) if one else np.zeros(0) for one in (radius, edge, arc)
        )
        self.tree = KDTree(self.places) if len(self.places) else None
        self.length = [float(self.arc[self.edge == n].max()) for n in range(len(self.ends))]


def plant_gaps(found, lines, count, rng):
    size, shape = np.asarray(found.size), np.asarray(found.wrong.shape)
    inflation = float(np.mean(found.phantom.params["label_inflation_um"][1:]))
    centres = []
    for _ in range(60 * count):
        if len(centres) == count:
            break
        at = int(rng.integers(len(lines.places)))
        thick = max(float(lines.radius[at]) + inflation, float(size[2]))
        length = float(rng.uniform(1.5, 6)) * thick
        edge, arc = int(lines.edge[at]), float(lines.arc[at])
        keep = length / 2 + 1.5 * thick + 3 * float(size.min())
        voxel = lines.places[at] / size
        margin = np.minimum(keep / size, shape / 3)
        if arc < keep or arc > lines.length[edge] - keep:
            continue
        if (voxel < margin).any() or (voxel > shape - 1 - margin).any():
            continue
        if any(
            np.linalg.norm(lines.places[at] - c) < length / 2 + other / 2 + 4 * thick for c, other in centres
        ):
            continue
        error = gap(found, lines, edge, arc, length, thick)
        if error is None:
            continue
        centres.append((lines.places[at], length))
        found.wrong[error.region.slices] &= ~error.voxels
        if rng.uniform() < 0.5:
            fade(found, error, float(rng.uniform(0.3, 0.6)))
        found.errors.append(error)


def gap(found, lines, edge, arc, length, thick):
    """Return the gap at one place of a vessel, None if its sides stay connected near by."""
    size, shape = np.asarray(found.size), found.wrong.shape
    mine = np.flatnonzero(lines.edge == edge)
    within = mine[np.abs(lines.arc[mine] - arc) <= length / 2]
    margin = np.ceil((2.5 * thick + 2 * size.max()) / size)
    low = np.maximum(np.floor(lines.places[within].min(0) / size - margin), 0).astype(int)
    high = np.minimum(np.ceil(lines.places[within].max(0) / size + margin) + 1, shape).astype(int)
    box = Region(as_shape(low), as_shape(high))
    here = found.wrong[box.slices]
    voxels = np.argwhere(here)
    if not len(voxels):
        return None
    _, nearest = lines.tree.query((voxels + low) * size)
    cut = (lines.edge[nearest] == edge) & (np.abs(lines.arc[nearest] - arc) <= length / 2)
    removed = np.zeros(box.shape, bool)
    removed[tuple(voxels[cut].T)] = True
    label, _ = ndimage.label(here & ~removed, EVERYWHERE)
    sides = []
    for sign in (-1, 1):
        place = arc + sign * (length / 2 + 1.2 * size.max())
        point = lines.places[mine[np.argmin(np.abs(lines.arc[mine] - place))]] / size - low
        distance = np.where(label > 0, 0, 1)
        voxel = np.round(point).astype(int)
        if (voxel < 0).any() or (voxel >= box.shape).any() or distance[tuple(voxel)]:
            return None
        sides.append(tuple(int(v) for v in voxel))
    if not cut.any() or label[sides[0]] == label[sides[1]]:
        return None
    return Error("gap", box, removed, tuple(tuple(int(v) for v in np.add(s, low)) for s in sides))


def fade(found, error, share):
    """Make the image of a gap nearly as dark as the background around."""
    image, part = found.image, error.region.slices
    outside = image[part][~ndimage.binary_dilation(found.truth[part], EVERYWHERE, 2)]
    floor = float(np.median(outside)) if outside.size else float(np.median(image))
    soft = ndimage.gaussian_filter(ndimage.binary_dilation(error.voxels, EVERYWHERE).astype(np.float32), 1)
    weight = 1 - np.clip(2 * soft, 0, 1) * (1 - share)
    image[part] = floor + (image[part] - floor) * weight
    error.faint = True


def capsules(points, radii, shape, size):
    edge = np.zeros(len(points) - 1, np.int32)
    pieces = Segments(points[:-1], points[1:], radii[:-1], radii[1:], edge)
    return signed_distance(pieces, shape, size, reach_um=min(size))[0] <= 0


def around(voxels, margin):
    """Return the slices of the box around the voxels of a mask, that much wider."""
    where = np.argwhere(voxels)
    low, high = np.maximum(where.min(0) - margin, 0), where.max(0) + margin + 1
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


def boxed(kind, added, sides=()):
    where = np.argwhere(added)
    box = Region(as_shape(where.min(0)), as_shape(where.max(0) + 1))
    return Error(kind, box, added[box.slices], sides)


def plant_spurs(found, lines, count, rng):
    size, shape = np.asarray(found.size), found.wrong.shape
    pixel, planted_at = float(size[2]), 0
    thick_truth = ndimage.binary_dilation(found.truth, EVERYWHERE)
    for _ in range(40 * count):
        if planted_at == count:
            break
        at = int(rng.integers(len(lines.places)))
        start = lines.places[at]
        voxel = np.round(start / size).astype(int)
        if (voxel < 2).any() or (voxel >= np.asarray(shape) - 2).any() or not found.wrong[tuple(voxel)]:
            continue
        away = rng.normal(size=3)
        away /= np.linalg.norm(away)
        thick = float(lines.radius[at])
        length = thick + float(rng.uniform(3, 7)) * pixel
        points = start + away * np.linspace(0, length, 8)[:, None]
        added = capsules(points, np.full(8, float(rng.uniform(0.7, 1.2)) * pixel), shape, found.size)
        added &= ~found.wrong
        if added.sum() < 6:
            continue
        near = around(added, 1)
        here, wrong = added[near], found.wrong[near]
        _, pieces = ndimage.label(here, EVERYWHERE)
        _, touched = ndimage.label(ndimage.binary_dilation(here, EVERYWHERE) & wrong, EVERYWHERE)
        if pieces != 1 or (here & ~thick_truth[near]).sum() < 0.5 * here.sum() or touched != 1:
            continue
        found.errors.append(boxed("spur", added))
        found.wrong |= added
        planted_at += 1


def plant_pieces(found, count, rng):
    size, shape = np.asarray(found.size), np.asarray(found.wrong.shape)
    pixel, planted_at = float(size[2]), 0
    for _ in range(40 * count):
        if planted_at == count:
            break
        start = rng.uniform(size=3) * (shape - 1) * size
        ways = np.cumsum(rng.normal(size=(6, 3)) * 0.5, axis=0) + rng.normal(size=3)
        ways /= np.linalg.norm(ways, axis=1, keepdims=True)
        length = float(rng.uniform(0, 14)) * pixel
        points = start + np.vstack([np.zeros(3), np.cumsum(ways, axis=0) * length / 6])
        added = capsules(points, rng.uniform(0.8, 2.0, 7) * pixel, found.wrong.shape, found.size)
        if added.sum() < 4:
            continue
        near = around(added, 2)
        if (
            ndimage.binary_dilation(added[near], EVERYWHERE, 2) & (found.wrong[near] | found.truth[near])
        ).any():
            continue
        found.errors.append(boxed("piece", added))
        found.wrong |= added
        planted_at += 1


def plant_merged(found, lines, count, rng):
    """Fill the room between two vessels that come near each other."""
    size, shape = np.asarray(found.size), np.asarray(found.wrong.shape)
    pixel, done = float(size[2]), []
    order = rng.permutation(len(lines.places))[:3000]
    for at in order:
        if len(done) == count:
            break
        here, voxel = lines.places[at], lines.places[at] / size
        if (
            (voxel < 3).any()
            or (voxel > shape - 4).any()
            or any(np.linalg.norm(here - d) < 15 * pixel for d in done)
        ):
            continue
        near = np.array(lines.tree.query_ball_point(here, lines.radius[at] + 12 * pixel))
        mine = set(lines.ends[int(lines.edge[at])])
        near = [n for n in near if not mine & set(lines.ends[int(lines.edge[n])])]
        if not near:
            continue
        other = min(near, key=lambda n: np.linalg.norm(lines.places[n] - here))
        sides = [tuple(int(v) for v in np.round(lines.places[n] / size)) for n in (at, other)]
        if any((np.array(s) < 0).any() or (np.array(s) >= shape).any() for s in sides):
            continue
        if not all(found.wrong[s] for s in sides):
            continue
        points = np.linspace(here, lines.places[other], 8)
        radius = max(0.6 * min(lines.radius[at], lines.radius[other]), pixel)
        added = capsules(points, np.full(8, radius), found.wrong.shape, found.size) & ~found.wrong
        if not 3 <= added.sum() <= 2000:
            continue
        error = boxed("merged", added, tuple(sides))
        margin = error.region.expanded((4, 8, 8)).intersection(Region.whole(found.wrong.shape))
        label, _ = ndimage.label(found.wrong[margin.slices], EVERYWHERE)
        a, b = (tuple(np.clip(np.subtract(s, margin.start), 0, np.array(margin.shape) - 1)) for s in sides)
        if label[a] == label[b] or not label[a] or not label[b]:
            continue
        done.append(here)
        found.errors.append(error)
        found.wrong |= added


def joins(error, wrong, change, region):
    """Return whether writing `change` (bool, of `region`) into `wrong` joins the sides of a gap near by."""
    box = error.region
    part = region.intersection(box)
    if part is None:
        return False
    here = wrong[box.slices].copy()
    here[part.relative_to(box.start).slices] |= change[part.relative_to(region.start).slices]
    label, _ = ndimage.label(here, EVERYWHERE)
    a, b = (tuple(np.subtract(side, box.start)) for side in error.sides)
    return bool(label[a] and label[a] == label[b])

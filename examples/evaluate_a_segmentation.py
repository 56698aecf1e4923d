"""Score a segmentation, beside the best that a global threshold could have done.

python examples/evaluate_a_segmentation.py [IMAGE PREDICTION REFERENCE]
"""

import sys

from napari_vesselkd import Region, evaluate, open_volume
from napari_vesselkd.measure import centreline_dice
from napari_vesselkd.measure.baselines import oracle_threshold
from napari_vesselkd.phantoms import PhantomConfig, make_phantom


def read(path):
    with open_volume(path) as volume:
        return volume.read(Region.whole(volume.shape)), volume.voxel_size_um


if len(sys.argv) > 3:
    (image, voxel_size), (prediction, _), (reference, _) = map(read, sys.argv[1:4])
else:
    phantom = make_phantom(PhantomConfig(shape=(32, 96, 96), seed=3))
    image, reference, voxel_size = phantom.image, phantom.label, phantom.voxel_size_um
    prediction = image > 2 * image.mean()

scores = evaluate(prediction, reference, voxel_size)
print(f"prediction        Dice {scores.dice:.3f}  clDice {scores.cldice:.3f}  HD95 {scores.hd95_um:.1f} um")

best = oracle_threshold(image, reference > 0)
lines = centreline_dice(best.mask, reference > 0)
print(f"oracle threshold  Dice {best.dice:.3f}  clDice {lines.cldice:.3f}")

"""NOTE FROM THE COORDINATOR TO HELPER R2 (05:54): superseded, delete this file.

The same thing is wired already: checkpoints/calibration.py `calibrate(model, volume, window, stride=, padding=)`,
used in inference/predict.py (`_fix_statistics`), statistics kept in the output's record so that a resumed run is
bit-identical; it applies where ``card.normalisation == "volume"``. What is left for you: write
normalisation="volume" in training/bundled.py `describe`, use `calibrate` for the held-out scores there (any object
with .shape and .read(region) serves), remake both bundled weights live-trained (freeze_at=1.0) with the newest
phantoms, set USE IN bench_accuracy. final2/student-coarse-z with per-volume statistics gives .805 at threshold .3 (none below
baseline), .816 at .2, .801 at .5: good, ship that recipe. Your idea of ranking patches by contrast is in calibrate now.
"""

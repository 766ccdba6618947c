"""open_v3_zoom: the first of two runs to open-v3, with superpixels and tasks zoomed and shifted as a whole.

Claim: alone it makes open-v2 worse on images of 128 px, but the mean of both is a better start for a last run
(experiments/results/open_v3/). docs/weights.md says where open-v2 is.

    python -m experiments.train experiments/configs/open_v3_zoom.py --corpus CORPUS --out run5
    python -m experiments.average open-v2 run5/last --out mean

Expected time: three quarters of an hour on two quiet CPU cores.
"""

from dataclasses import replace

from experiments.configs.open_v2_superpixels import config as superpixels

zoomed = replace(superpixels.policy.task, affine=0.5, translation=(-0.1, 0.1), scale=(0.8, 1.5))

config = replace(
    superpixels,
    weights="open-v2",
    stages=(replace(superpixels.stages[0], steps=6400),),
    policy=replace(superpixels.policy, task=zoomed),
    seed=17,
)

"""open_v2_superpixels: the third of four runs to open-v2, with superpixels in four tenths of the episodes.

Claim: tasks made from real images without annotations add the variety that annotated sets of twenty images lack
(experiments/results/open_v2/). The weights "mean" come from the last command of open_v2_outlined.py.

    python -m experiments.train experiments/configs/open_v2_superpixels.py --corpus CORPUS --out run3

Expected time: an hour on two quiet CPU cores.
"""

from dataclasses import replace

from experiments.configs.open_v2_outlined import config as outlined

config = replace(
    outlined,
    weights="mean",
    stages=(replace(outlined.stages[0], steps=8800, final_learning_rate=1e-4),),
    synthetic=0.15,
    outlined=0.5,
    superpixels=0.4,
    seed=14,
)

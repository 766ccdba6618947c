"""open_v4_walled: the first of two runs to open-v4, with synthetic walls around cores, and whole lesions.

Claim: a last run after it is better than open-v3 on held-out datasets, most for rings: the heart's wall and cytoplasm
(experiments/results/open_v4/).

    python -m experiments.average open-v3 run7/last --out mean
    python -m experiments.train experiments/configs/open_v4_walled.py --corpus CORPUS --out run8
    python -m experiments.average mean run8/last --out mean8

open_v3_joined.py makes run7, and docs/weights.md says where open-v3 is.

Expected time: three quarters of an hour on two quiet CPU cores.
"""

from dataclasses import replace

from experiments.configs.open_v3_zoom import config as zoom

config = replace(
    zoom,
    weights="mean",
    stages=(replace(zoom.stages[0], steps=4800),),
    synthetic=0.25,
    walled=0.6,
    superpixels=0.3,
    unions=0.15,
    seed=23,
)

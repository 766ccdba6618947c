"""open_v3_joined: 3600 more steps at 128 px after open-v3, with joined labels of the same image.

Claim: neither more steps nor joined labels raise the mean Dice on held-out datasets further
(experiments/results/open_v3/). docs/weights.md says where open-v3 is.

    python -m experiments.train experiments/configs/open_v3_joined.py --corpus CORPUS --out run7

Expected time: an hour and a half on two quiet CPU cores.
"""

from dataclasses import replace

from experiments.configs.open_v3 import config as open_v3

config = replace(
    open_v3,
    weights="open-v3",
    stages=(replace(open_v3.stages[0], steps=3600),),
    unions=0.4,
    seed=19,
    validate_every=1200,
)

"""After open-v3: 3600 more steps at 128 px, with labels of the same images joined to new structures.

Claim: neither more steps of the last kind nor joined labels raise the mean Dice on held-out datasets further: .718 as
before (experiments/results/open_v3/).

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

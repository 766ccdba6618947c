"""open_v2_outlined: the second of four runs to open-v2, half synthetic, mostly with outlines.

Claim: synthetic outlines do not change the mean Dice on held-out datasets, but the mean of these weights and the ones
before is better than both (experiments/results/open_v2/).

    python -m experiments.train experiments/configs/open_v2_outlined.py --corpus CORPUS --out run2
    python -m experiments.average run1/last run2/last --out mean

Expected time: half an hour on two quiet CPU cores.
"""

from dataclasses import replace

from experiments.configs.open_v2_deeper import config as deeper

first, second = deeper.stages

config = replace(
    deeper,
    weights="run1/last",
    stages=(replace(first, steps=2000), replace(second, steps=650)),
    synthetic=0.5,
    outlined=0.6,
    seed=13,
    validate_every=2000,
)

"""The weights open-v3: the second of two runs, at 128 px and with images more as they are.

Claim: 2400 more steps like the last of open-v2, from the mean of open-v2 and the run with zoom, are better than open-v2
on held-out datasets (experiments/results/open_v3/).

    python -m experiments.train experiments/configs/open_v3.py --corpus CORPUS --out run6

Expected time: three quarters of an hour on two quiet CPU cores.
"""

from dataclasses import replace

from experiments.configs.open_v2 import config as open_v2

config = replace(
    open_v2,
    weights="mean",
    stages=(replace(open_v2.stages[0], steps=2400),),
    seed=18,
    validate_every=2400,
)

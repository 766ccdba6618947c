"""open_v3: the second of two runs to open-v3, at 128 px and with milder augmentation.

Claim: 2400 more steps like the last of open-v2, starting from the mean of open-v2 and the run with zoom, are better
than open-v2 on held-out datasets (experiments/results/open_v3/). open_v3_zoom.py makes the weights "mean".

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

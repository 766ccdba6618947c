"""open_v5: the second of two runs towards open-v5, with up to 16 examples and a lower learning rate.

Claim: none yet. The first run is measured, this one is not finished (experiments/results/open_v5/README.md).
open_v5_first.py makes the weights "mean800".

    python -m experiments.train experiments/configs/open_v5.py --corpus CORPUS --out run11

Expected time: not measured. It has half as many steps again as the first run, and larger support sets.
"""

from dataclasses import replace

from experiments.configs.open_v5_first import config as first

config = replace(
    first,
    weights="mean800",
    stages=(
        replace(
            first.stages[0],
            steps=1200,
            support_size=16,
            support_deck=(1, 1, 4, 4, 16, 16),
            learning_rate=3e-4,
            final_learning_rate=2e-5,
        ),
    ),
    seed=51,
)

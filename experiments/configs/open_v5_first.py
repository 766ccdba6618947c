"""open_v5_first: the first of two runs towards open-v5, with targets unlike their support, and small support sets.

Claim: the mean of open-v4 and this run is better than open-v4 with one example, and level with four and sixteen
(experiments/results/open_v5/). docs/weights.md says where open-v4 is.

    python -m experiments.train experiments/configs/open_v5_first.py --corpus CORPUS --out run10
    python -m experiments.average open-v4 run10/last --out mean800

Expected time: three hours on two CPU cores next to other work; less on quiet ones. Each support size is compiled once.
"""

from dataclasses import replace

from experiments.configs.open_v2 import MILD
from experiments.held_out import HELD_OUT
from universeg_jax.train.config import Stage, TrainConfig

IN_TASK = replace(
    MILD.in_task,
    affine=0.4,
    rotation=(-15.0, 15.0),
    translation=(-0.08, 0.08),
    scale=(0.85, 1.15),
    brightness_contrast=0.3,
    contrast=(0.7, 1.3),
    noise=0.1,
)
POLICY = replace(
    MILD,
    task=replace(MILD.task, affine=0.25, translation=(-0.1, 0.1), scale=(0.85, 1.3)),
    in_task=IN_TASK,
    target=replace(
        IN_TASK,
        affine=0.5,
        rotation=(-60.0, 60.0),
        brightness_contrast=0.5,
        contrast=(0.4, 1.4),
        brightness=(-0.1, 0.2),
    ),
    flip_target=0.12,
    flip_intensities=0.2,
)

config = TrainConfig(
    weights="open-v4",
    stages=(
        Stage(
            size=128,
            steps=800,
            batch_size=2,
            support_size=10,
            support_deck=(1, 1, 3, 3, 10, 10),
            learning_rate=5e-4,
            final_learning_rate=5e-5,
            warmup_steps=30,
        ),
    ),
    muon=True,
    policy=POLICY,
    synthetic=0.15,
    outlined=0.5,
    walled=0.6,
    superpixels=0.15,
    unions=0.15,
    held_out=HELD_OUT,
    validation=0.0,
    minimum_area=0.006,
    minimum_support=4,
    split=None,
    seed=50,
    save_every=25,
)

"""first_run: a training from scratch on two CPU cores.

Claim: in 5400 steps, on small images first and larger ones later, the released network learns to segment unseen tasks
about as well as open-v0 (experiments/results/first_run/).

    python -m experiments.train experiments/configs/first_run.py --corpus CORPUS --out RUN

Expected time: an hour on two quiet CPU cores.
"""

from experiments.held_out import HELD_OUT
from universeg_jax.data.augment import Policy, Variation
from universeg_jax.train.config import Stage, TrainConfig

# Milder than the paper's: a short training cannot learn everything that the paper's augmentation demands.
POLICY = Policy(
    task=Variation(
        affine=0.3, rotation=(-180.0, 180.0), brightness_contrast=0.3, elastic=0.15, blur=0.2, noise=0.2, sharpness=0.2
    ),
    in_task=Variation(
        affine=0.4,
        rotation=(-15.0, 15.0),
        translation=(-0.1, 0.1),
        scale=(0.85, 1.15),
        brightness_contrast=0.25,
        contrast=(0.7, 1.3),
        elastic=0.3,
        elastic_alpha=(0.5, 1.5),
        elastic_sigma=(6.0, 8.0),
        blur=0.1,
        noise=0.15,
        sharpness=0.1,
    ),
    flip_intensities=0.25,
    flip_labels=0.1,
    flip_horizontally=0.5,
    flip_vertically=0.5,
    edges=0.05,
)

config = TrainConfig(
    held_out=HELD_OUT,
    stages=(
        Stage(
            size=64,
            steps=4500,
            batch_size=4,
            support_size=8,
            learning_rate=5e-4,
            final_learning_rate=5e-5,
            warmup_steps=100,
        ),
        Stage(size=128, steps=900, batch_size=1, support_size=12, learning_rate=3e-4, warmup_steps=50),
    ),
    policy=POLICY,
    synthetic=0.2,
    validation=0.08,
    validate_every=500,
    save_every=200,
)

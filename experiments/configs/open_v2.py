"""open_v2: the last of four runs to open-v2, at 128 px and with milder augmentation.

Claim: strong augmentation teaches the network to use the examples, and should be weakened at the end. These weights are
better than open-v1 on held-out datasets (experiments/results/open_v2/).

    python -m experiments.train experiments/configs/open_v2.py --corpus CORPUS --out run4

Expected time: half an hour on two quiet CPU cores. run3/best holds the last step of run3, because its Dice on
validation tasks rose to the end.
"""

from dataclasses import replace

from experiments.configs.open_v2_deeper import config as deeper
from experiments.configs.open_v2_superpixels import config as superpixels
from universeg_jax.data.augment import Policy, Variation

MILD = Policy(
    task=Variation(affine=0.15, rotation=(-180.0, 180.0), brightness_contrast=0.2, blur=0.1, noise=0.1, sharpness=0.1),
    in_task=Variation(
        affine=0.3,
        rotation=(-10.0, 10.0),
        translation=(-0.05, 0.05),
        scale=(0.9, 1.1),
        brightness_contrast=0.2,
        brightness=(-0.05, 0.05),
        contrast=(0.85, 1.15),
        elastic=0.1,
        elastic_alpha=(0.5, 1.0),
        noise=0.05,
    ),
    flip_intensities=0.15,
    flip_labels=0.05,
    flip_horizontally=0.5,
    flip_vertically=0.3,
    edges=0.05,
)

config = replace(
    superpixels,
    weights="run3/best",
    stages=(replace(deeper.stages[1], steps=1500, support_size=12),),
    policy=MILD,
    synthetic=0.1,
    superpixels=0.15,
    validate_every=1500,
)

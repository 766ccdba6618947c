"""ProtoSAM's image encoder in setting 1, with LoRA adapters, for the few steps that two CPU cores allow.

Claim: the row "LoRA, 30 steps" of experiments/results/few_shot/README.md.

    python -m experiments.train experiments/configs/protosam_short_lora.py --corpus SCANS --out RUN \
        --set leave_out "('1', '2', '3', '5')"

SCANS is a folder of volumes, such as image_ID.nii.gz and label_ID.nii.gz. The labels of the scans are not used.
Adapters start at zero, and plain gradient descent moves them too slowly for so few steps; AdamW does not.

Expected time: five minutes on two CPU cores.
"""

from dataclasses import replace

from experiments.configs.protosam_setting1 import config as setting1
from universeg_jax.train.encoder.config import AdamWConfig

config = replace(
    setting1,
    stages=(replace(setting1.stages[0], steps=30, learning_rate=5e-4, warmup_steps=5),),
    optimizer=AdamWConfig(),
    lora_rank=4,
    validation_episodes=4,
    validate_every=10,
    save_every=5,
)

"""ProtoSAM's image encoder in setting 1, for as many steps as two CPU cores take in a quarter of an hour.

Claim: the row "full fine-tuning" of experiments/results/few_shot/README.md.

    python -m experiments.train experiments/configs/protosam_short.py --corpus SCANS --out RUN \
        --set leave_out "('1', '2', '3', '5')"

SCANS is a folder of volumes, such as image_ID.nii.gz and label_ID.nii.gz. The labels of the scans are not used.
"""

from dataclasses import replace

from experiments.configs.protosam_setting1 import config as setting1

config = replace(
    setting1,
    stages=(replace(setting1.stages[0], steps=60),),
    validation_episodes=8,
    validate_every=20,
    save_every=10,
)

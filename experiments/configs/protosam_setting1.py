"""ProtoSAM's image encoder, trained on superpixels of all scans outside one fold (setting 1).

Claim: none yet. A whole run takes hours; experiments/results/few_shot/ says what was measured.

    python -m experiments.train experiments/configs/protosam_setting1.py --corpus SCANS --out RUN

SCANS is a folder of volumes, such as image_ID.nii.gz and label_ID.nii.gz. Leave out the query scans of a fold with
`--set leave_out "('1', '2', '3', '5')"`. The labels of the scans are not used.

Expected time: 13 seconds a step on two CPU cores (experiments/results/encoder_training.json), so fifteen hours.
"""

from universeg_jax.train.config import Stage
from universeg_jax.train.encoder.config import EncoderTrainConfig

config = EncoderTrainConfig(
    stages=(Stage(size=256, steps=4000, batch_size=1, support_size=1, learning_rate=1e-3),),
    weights="lite-medsam",
    modality="MR",
    validate_every=500,
    save_every=100,
)

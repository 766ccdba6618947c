"""Train networks, and fine-tune them on one task."""

from typing import TYPE_CHECKING

from universeg_jax.util.imports import lazy_names

# Editors and type checkers read the first branch, Python the second. A test compares them.
if TYPE_CHECKING:
    from universeg_jax.train.config import Stage as Stage
    from universeg_jax.train.config import TrainConfig as TrainConfig
    from universeg_jax.train.config_file import read_config as read_config
    from universeg_jax.train.encoder.config import EncoderTrainConfig as EncoderTrainConfig
    from universeg_jax.train.finetune.run import FineTuning as FineTuning
    from universeg_jax.train.finetune.run import FineTuningRun as FineTuningRun
    from universeg_jax.train.loop import train as train
    from universeg_jax.train.step import Devices as Devices
else:
    __all__, __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "config": ("Stage", "TrainConfig"),
            "config_file": ("read_config",),
            "step": ("Devices",),
            "finetune.run": ("FineTuning", "FineTuningRun"),
            "loop": ("train",),
            "encoder.config": ("EncoderTrainConfig",),
        },
    )

"""Configure the training of an image encoder on superpixels."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from universeg_jax.data.augment import Policy
from universeg_jax.data.episodes.pseudo_labels import PseudoLabelConfig
from universeg_jax.data.episodes.self_supervised import CopyAugmentation
from universeg_jax.errors import InputError
from universeg_jax.train.config import RunConfig
from universeg_jax.util.checks import check_choice, check_kind, check_number, check_numbers

if TYPE_CHECKING:
    from universeg_jax.train.data import RunData
    from universeg_jax.train.learner import Learner


@dataclass(frozen=True)
class SGDConfig:
    """Stochastic gradient descent as SSL-ALPNet uses it. The rate falls by a factor at regular steps.

    Attributes:
        momentum: momentum of the gradients.
        weight_decay: L2 penalty, added to the gradient before the momentum as in PyTorch.
        factor, every: the rate is multiplied by `factor` after each `every` steps.
    """

    momentum: float = 0.9
    weight_decay: float = 5e-4
    factor: float = 0.95
    every: int = 1000

    def __post_init__(self):
        check_numbers(self, "momentum", least=0, below=1)
        check_numbers(self, "weight_decay", least=0)
        check_numbers(self, "factor", above=0, most=1)
        check_numbers(self, "every", least=1, whole=True)


@dataclass(frozen=True)
class AdamWConfig:
    """AdamW with a constant rate.

    Attributes:
        weight_decay: decoupled weight decay.
        epsilon: added to the root of the second moment.
    """

    weight_decay: float = 5e-4
    epsilon: float = 1e-5

    def __post_init__(self):
        check_numbers(self, "weight_decay", least=0)
        check_numbers(self, "epsilon", above=0)


@dataclass(frozen=True)
class EncoderTrainConfig(RunConfig):
    """A training run of the image encoder of ProtoSAM, on superpixels of unlabelled scans.

    The data are a folder of volumes. Their labels serve setting 2 only.

    Attributes:
        weights: a SAM or a DINOv2, by name or path.
        optimizer: SGD (ALPNet) or AdamW. The stage gives the learning rate.
        lora_rank: rank of LoRA adapters; None trains all parameters of the encoder.
        pseudo_labels: options of the superpixels.
        copies: random changes of support and query.
        exclude: organs whose slices are left out (setting 2 of the few-shot protocol); empty for setting 1.
        leave_out: names of scans that are left out, such as the query scans of a fold.
        modality: "CT" or "MR", if the files do not say.
        axis: axis along which scans are cut.
        alignment: weight of the alignment loss.
        validation_episodes: number of superpixel episodes for validation; 0 for none.

    Raises:
        InputError: a value is out of range.
    """

    weights: str = "lite-medsam"
    policy: Policy = field(default_factory=Policy.none)
    clip_norm: float | None = None
    ema: float = 0.0
    optimizer: SGDConfig | AdamWConfig = field(default_factory=SGDConfig)
    lora_rank: int | None = None
    pseudo_labels: PseudoLabelConfig = field(default_factory=PseudoLabelConfig)
    copies: CopyAugmentation = field(default_factory=CopyAugmentation)
    exclude: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    modality: str | None = None
    axis: str = "axial"
    alignment: float = 1.0
    validation_episodes: int = 32

    def __post_init__(self):
        super().__post_init__()
        if self.weights is None:
            raise InputError("EncoderTrainConfig.weights=None: pass a SAM or a DINOv2, such as 'lite-medsam'")
        if not isinstance(self.optimizer, SGDConfig | AdamWConfig):
            raise InputError(f"EncoderTrainConfig.optimizer={self.optimizer!r}: pass SGDConfig or AdamWConfig")
        check_kind(self, "pseudo_labels", PseudoLabelConfig)
        check_kind(self, "copies", CopyAugmentation)
        check_choice(self, "axis", "axial", "coronal", "sagittal")
        check_numbers(self, "alignment", least=0)
        check_numbers(self, "validation_episodes", least=0, whole=True)
        if self.lora_rank is not None:
            check_numbers(self, "lora_rank", least=1, whole=True)
        for name in ("exclude", "leave_out"):
            if not isinstance(getattr(self, name), tuple):
                raise InputError(f"EncoderTrainConfig.{name}={getattr(self, name)!r}: pass a tuple of names")
        for stage in self.stages:
            check_number("Stage.support_size", stage.support_sizes[1], least=1, most=1, whole=True)

    def to_json(self) -> dict[str, Any]:
        """Return all fields as JSON can hold them, for checkpoints."""
        values = dataclasses.asdict(self)
        return values | {"optimizer": {"kind": type(self.optimizer).__name__, **values["optimizer"]}}

    def make_learner(self) -> "Learner":
        """Return the encoder to train, with its loss and optimiser."""
        from universeg_jax.train.encoder.learner import EncoderLearner  # it imports this module

        return EncoderLearner(self)

    def make_data(self, source: Path | str) -> "RunData":
        """Return the superpixel episodes of a folder of scans."""
        from universeg_jax.train.encoder.learner import EncoderData  # it imports this module

        return EncoderData(self, source)

"""Train an image encoder through the prototypes of ALPNet (a `Learner`), on superpixel episodes of scans."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from universeg_jax.cache import cache_folder
from universeg_jax.data.corpus.read import CorpusTask
from universeg_jax.data.episodes.draw import Episode, EpisodeSource
from universeg_jax.data.episodes.pseudo_labels import PseudoLabelStore
from universeg_jax.data.episodes.self_supervised import SelfSupervisedEpisodes
from universeg_jax.data.episodes.stream import Batches
from universeg_jax.data.stacks import SliceStack, check_organs, read_stacks
from universeg_jax.errors import InputError
from universeg_jax.models.dinov2 import DINOv2
from universeg_jax.models.protosam.encoder import extractor_of
from universeg_jax.models.sam.model import SAM
from universeg_jax.nn.resample import resize_linear
from universeg_jax.shapes import Array, Float
from universeg_jax.train.config import Stage
from universeg_jax.train.data import own_batches
from universeg_jax.train.encoder.config import EncoderTrainConfig, SGDConfig
from universeg_jax.train.learner import Parameters, clipping
from universeg_jax.train.losses import alp_loss, alp_scores, training_config, validation_config
from universeg_jax.weights.loading import load_network
from universeg_jax.weights.lora import DOWN, UP, initial_adapters, merge, save_lora
from universeg_jax.weights.mapping import blueprint, get_parameters, set_parameters, trainable_names
from universeg_jax.weights.store import save

SAM_ENCODER = "image_encoder."
NECK = "image_encoder.neck"


class EncoderLearner:
    """The image encoder of a SAM, or a DINOv2, trained on superpixel episodes.

    Args:
        config: the run.
        network: the network; None loads `config.weights`.

    Raises:
        InputError: the weights belong to another network, or the image size does not fit it.
    """

    def __init__(self, config: EncoderTrainConfig, network: SAM | DINOv2 | None = None):
        self.config = config
        self.network = _checked(load_network(config.weights) if network is None else network, config.weights)
        if isinstance(self.network, SAM):
            wanted = self.network.config.input_size
            for stage in config.stages:
                if stage.size != wanted:
                    raise InputError(f"Stage.size={stage.size}: this SAM takes images of {wanted} pixels; pass that")
        self._all = get_parameters(self.network)
        self._prefix = SAM_ENCODER if isinstance(self.network, SAM) else ""
        self._trained = [
            name
            for name in trainable_names(self.network)
            if name.startswith(self._prefix) and not name.startswith(NECK) and not name.startswith("mask_token")
        ]

    def initial_parameters(self) -> Parameters:
        """Return the parameters of the encoder, or fresh LoRA adapters."""
        if self.config.lora_rank is None:
            return {name: self._all[name] for name in self._trained}
        key = jax.random.key(self.config.seed)
        return initial_adapters(key, self._all, rank=self.config.lora_rank, prefix=self._prefix)

    def frozen_parameters(self) -> Parameters:
        """Return the arrays that are not trained."""
        if self.config.lora_rank is None:
            return {name: value for name, value in self._all.items() if name not in self._trained}
        return self._all

    def optimizer(self) -> optax.GradientTransformation:
        """Return SGD or AdamW, with the learning rate of each stage."""
        own = self.config.optimizer
        if isinstance(own, SGDConfig):
            sgd = optax.sgd(learning_rates(self.config), momentum=own.momentum)
            return optax.chain(clipping(self.config), optax.add_decayed_weights(own.weight_decay), sgd)
        adamw = optax.adamw(learning_rates(self.config), eps=own.epsilon, weight_decay=own.weight_decay)
        return optax.chain(clipping(self.config), adamw)

    def loss(self, parameters: Parameters, episodes: Episode, *, axes: Sequence[str]) -> tuple[Array, Array]:
        """Return loss and Dice of a batch, as `step.Loss` defines it."""
        pairs = jnp.concatenate([episodes.support_images[:, 0], episodes.target])
        features = self._features(parameters, pairs)
        support, query = jnp.split(features, 2)
        alp = training_config(min(features.shape[1:3]))
        labels = episodes.support_labels[:, 0, ..., 0], episodes.target_label[..., 0]
        found = jax.vmap(partial(alp_loss, config=alp))(support, query, *labels)
        return (found.query + self.config.alignment * found.alignment).mean(), found.dice.mean()

    def predict(self, parameters: Parameters, episode: Episode) -> Float[Array, "H W"]:
        """Return the probabilities of one target, with ALPNet's options for validation."""
        features = self._features(parameters, jnp.stack([episode.support_images[0], episode.target]))
        label = episode.support_labels[0, ..., 0]
        background, foreground = alp_scores(features[0], label, features[1], validation_config())
        logits = resize_linear((foreground - background)[None, ..., None], label.shape)[0, ..., 0]
        return jax.nn.sigmoid(logits)

    def trained(self, parameters: Parameters) -> SAM | DINOv2:
        """Return the network with trained parameters, LoRA adapters merged."""
        return self._network({**self.frozen_parameters(), **parameters})

    def save(self, parameters: Parameters, folder: Path, *, provenance: Mapping[str, Any]) -> None:
        """Write the whole network, or the LoRA adapters alone, and replace an earlier folder."""
        if self.config.lora_rank is None:
            save(self.trained(parameters), folder, provenance=provenance, overwrite=True)
            return
        save_lora(
            parameters, folder, base=self.config.weights, model=self.network, provenance=provenance, overwrite=True
        )

    def _network(self, parameters: Parameters) -> SAM | DINOv2:
        if self.config.lora_rank is not None:
            adapters = {name: value for name, value in parameters.items() if name.endswith((DOWN, UP))}
            base = {name: value for name, value in parameters.items() if name not in adapters}
            parameters = merge(base, adapters)
        network = blueprint(type(self.network), self.network.config)
        set_parameters(network, parameters)
        return network

    def _features(self, parameters: Parameters, images: Float[Array, "N H W 1"]) -> Float[Array, "N h w C"]:
        network = self._network(parameters)
        size = images.shape[1]
        extract = extractor_of(network, size=size)
        images = jnp.repeat(images, 3, axis=-1).astype(jnp.dtype(self.config.dtype))
        if not self.config.checkpoint_activations:
            return extract(images).astype(jnp.float32)
        # One image at a time, computed again for the gradient: memory of one image instead of all.
        one: Callable[[Array], Array] = jax.checkpoint(lambda image: extract(image[None])[0])
        return lax.map(one, images).astype(jnp.float32)


def _checked(network: object, weights: str) -> SAM | DINOv2:
    if not isinstance(network, SAM | DINOv2):
        raise InputError(f"weights {weights}: belong to a {type(network).__name__}; pass a SAM or a DINOv2")
    return network


def learning_rates(config: EncoderTrainConfig) -> optax.Schedule:
    """Return the learning rate of every step: the stage's rate with its linear warmup, times the decay of SGD."""
    schedules, ends, first = [], [], 0
    for stage in config.stages:
        schedules.append(_stage_rates(config, stage.learning_rate, stage.warmup_steps, first))
        first += stage.steps
        ends.append(first)
    return optax.join_schedules(schedules, ends[:-1])


def _stage_rates(config: EncoderTrainConfig, rate: float, warmup: int, first: int) -> optax.Schedule:
    def schedule(step: Array) -> Array:
        falling = 1.0
        if isinstance(config.optimizer, SGDConfig):
            falling = config.optimizer.factor ** ((first + step) // config.optimizer.every)
        rising = jnp.minimum(1.0, (step + 1) / (warmup + 1))
        return rate * falling * rising

    return schedule


class EncoderData:
    """Superpixel episodes of scans, for training and validation.

    Args:
        config: the run.
        source: folder of volumes, or scans that were read already.
        store: folder of the pseudo-labels; by default one in the cache of this package.

    Attributes:
        fingerprints: fingerprint of each scan, by name.

    Raises:
        InputError: the folder is unusable, a name in `leave_out` or `exclude` is unknown, or no scan is left.
    """

    def __init__(
        self, config: EncoderTrainConfig, source: Path | str | Sequence[SliceStack], *, store: Path | None = None
    ):
        if isinstance(source, str | Path):
            source = read_stacks(Path(source), axis=config.axis, modality=config.modality)
        unknown = set(config.leave_out) - {stack.name for stack in source}
        if unknown:
            raise InputError(
                f"leave_out={config.leave_out}: there are no scans {', '.join(sorted(unknown))}; there are "
                f"{', '.join(stack.name for stack in source)}"
            )
        if config.exclude:
            check_organs(source, config.exclude)
        self._stacks = [stack for stack in source if stack.name not in config.leave_out]
        if not self._stacks:
            raise InputError(f"leave_out={config.leave_out}: leaves no scan to train on")
        self._config = config
        folder = cache_folder() / "pseudo_labels" if store is None else store
        self._labels = PseudoLabelStore(folder, config.pseudo_labels).of_all(self._stacks)
        self.fingerprints = {stack.name: stack.fingerprint for stack in self._stacks}
        self._allowed = [allowed_slices(stack, config.exclude) for stack in self._stacks]

    def source(self, stage: Stage) -> EpisodeSource:
        """Return the training episodes of a stage."""
        return self._episodes(stage, self._config.seed)

    def batches(self, stage: Stage, *, start: int) -> Batches:
        """Iterate over the batches of a stage from batch `start`, with the share of this process."""
        return own_batches(self.source(stage), stage, start=start, workers=self._config.workers)

    def validation_episodes(self, stage: Stage) -> dict[CorpusTask, list[Episode]]:
        """Return superpixel episodes that training draws with another seed, the same at every call."""
        number = self._config.validation_episodes
        if number == 0:
            return {}
        source = self._episodes(stage, self._config.seed + 1)
        return {source.tasks[0]: [source[i] for i in range(number)]}

    def _episodes(self, stage: Stage, seed: int) -> SelfSupervisedEpisodes:
        return SelfSupervisedEpisodes(
            self._stacks,
            self._labels,
            allowed=self._allowed,
            seed=seed,
            size=stage.size,
            augmentation=self._config.copies,
        )


def allowed_slices(stack: SliceStack, exclude: Sequence[str]) -> list[int]:
    """Return the slices of a scan that show none of the excluded organs (setting 2)."""
    shown: np.ndarray = np.zeros(len(stack.images), bool)
    for organ in exclude:
        shown[stack.organ(organ).slices] = True
    return np.flatnonzero(~shown).tolist()

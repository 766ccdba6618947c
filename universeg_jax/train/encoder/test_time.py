"""Train the encoder for some steps on the superpixels of a query scan, before the scan is segmented."""

from collections.abc import Callable
from contextlib import closing
from itertools import islice
from pathlib import Path

import jax
import numpy as np

from universeg_jax.data.augment import Policy
from universeg_jax.data.stacks import OrganSlices, SliceStack
from universeg_jax.errors import InputError
from universeg_jax.evaluate.few_shot.methods import FewShotMethod
from universeg_jax.models.dinov2 import DINOv2
from universeg_jax.models.sam.model import SAM
from universeg_jax.train.encoder.config import EncoderTrainConfig
from universeg_jax.train.encoder.learner import EncoderData, EncoderLearner
from universeg_jax.train.learner import initial_state
from universeg_jax.train.step import Augmentation, TrainStep, on_one_device
from universeg_jax.util.checks import check_number


class TestTimeTraining:
    """A few-shot method whose encoder is trained anew for each query scan (a `FewShotMethod`).

    The labels of the query scan are not used. Training starts from the same weights for every scan.

    Args:
        config: training; the first stage gives image size, batch size and learning rate.
        steps: number of steps for each scan.
        make_method: makes the method from a trained network.
        name: name of the method in tables.
        network: network to train; None loads `config.weights`.
        store: folder of the pseudo-labels; by default one in the cache of this package.

    Raises:
        InputError: an option is out of range, or the weights cannot be loaded.
    """

    __test__ = False  # otherwise pytest takes it for a test, by its name

    def __init__(
        self,
        config: EncoderTrainConfig,
        *,
        steps: int,
        make_method: Callable[[SAM | DINOv2], FewShotMethod],
        name: str,
        network: SAM | DINOv2 | None = None,
        store: Path | None = None,
    ):
        check_number("steps", steps, least=1, whole=True)
        self.name = f"{name}, {steps} steps on each scan"
        self.identity = f"{self.name}, {config}"
        self._config, self._steps, self._make_method, self._store = config, steps, make_method, store
        self._learner = EncoderLearner(config, network)
        optimizer = self._learner.optimizer()
        self._initial = initial_state(
            self._learner.initial_parameters(), optimizer, frozen=self._learner.frozen_parameters()
        )
        self._take_step = on_one_device(TrainStep(self._learner.loss, optimizer, 0.0), Augmentation(Policy.none(), 0))
        self._last: tuple[SliceStack, FewShotMethod] | None = None

    def segment(self, support: OrganSlices, query: OrganSlices) -> np.ndarray:
        """Return the probability of the organ in each query slice, after training on the query scan.

        Raises:
            InputError: the scan of the query is unknown, or has no superpixel.
        """
        if query.scan is None:
            raise InputError("query.scan=None: test-time training needs the scan that the slices are from")
        if self._last is None or self._last[0] is not query.scan:
            self._last = query.scan, self._make_method(self.trained_on(query.scan))
        return self._last[1].segment(support, query)

    def trained_on(self, scan: SliceStack) -> SAM | DINOv2:
        """Return the network after some steps on one scan."""
        stage = self._config.stages[0]
        data = EncoderData(self._config, [scan], store=self._store)
        state = jax.tree.map(lambda array: array.copy(), self._initial)  # a step reuses the memory of its state
        with closing(data.batches(stage, start=0)) as batches:
            for batch in islice(batches, self._steps):
                state, _ = self._take_step(state, jax.device_put(batch))
        return self._learner.trained(state.parameters)

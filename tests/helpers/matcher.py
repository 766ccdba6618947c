"""Stand-ins for in-context models, and images that they segment."""

import jax
import jax.numpy as jnp
import numpy as np


class Matcher:
    """A stand-in model: a pixel is foreground as far as it is nearer to the foreground's mean intensity."""

    def __init__(self, size=16, channels=1):
        self.input_size, self.input_channels, self.padding = size, channels, "zeros"
        self.prepared, self.traced = [], []
        self.apply = jax.jit(self._apply)

    def prepare(self, images, labels, mask):
        self.prepared.append((images, labels, mask))
        return lambda targets, regions: self.apply(images, labels, mask, targets)

    def _apply(self, images, labels, mask, targets):
        self.traced.append((images.shape[0], targets.shape[0]))

        def level(weights):
            weights = weights * mask[:, :, None, None, None]
            return (weights * images).sum((1, 2, 3, 4)) / (weights.sum((1, 2, 3, 4)) + 1e-6)

        def distance(weights):
            return jnp.abs(targets.mean(-1, keepdims=True)[None] - level(weights)[:, None, None, None, None])

        return 20 * (distance(1 - labels) - distance(labels))


class Constant(Matcher):
    """A stand-in that predicts one probability everywhere."""

    def __init__(self, probability, **options):
        super().__init__(**options)
        self.logit = float(np.log(probability / (1 - probability)))

    def _apply(self, images, labels, mask, targets):
        return jnp.full((len(labels), *targets.shape[:3], 1), self.logit)


class Recorder(Matcher):
    """A stand-in whose logits grow with the number of entries that count."""

    def _apply(self, images, labels, mask, targets):
        return jnp.zeros((len(labels), *targets.shape[:3], 1)) + mask.sum(axis=1)[:, None, None, None, None] / 10


def examples(number, *, values=(0, 1), size=(20, 20), dtype=np.uint8, noise=0):
    """Draw images in which each class has its own intensity, and their labels."""
    rng = np.random.default_rng(0)
    images, labels = [], []
    for _ in range(number):
        label = np.sort(rng.choice(np.asarray(values), size), axis=1).astype(dtype)
        label.flat[: len(values)] = values
        image = 10 + 150 * np.searchsorted(values, label) / (len(values) - 1)
        images.append((image + rng.uniform(0, noise, size)).astype(np.uint8))
        labels.append(label)
    return images, labels

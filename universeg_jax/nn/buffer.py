"""Values of a network that are stored with its weights but not learned."""

from flax import nnx


class Buffer(nnx.Variable):
    """Statistics of batch norms, frequencies drawn once: in weight files, but no `nnx.Param`, so not to be trained."""

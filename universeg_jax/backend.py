"""What the processor at hand likes: choices that change speed and memory, never results."""

from typing import Any

import jax


def compiler_options() -> dict[str, Any]:
    """Options for `jax.jit(..., compiler_options=...)` on the default backend.

    On CPU, convolutions go to Eigen rather than YNNPACK, which leaves all cores but one idle on images narrower
    than 128 pixels (jax 0.10): the whole of a UniverSeg is 1.3 times faster. Products of matrices and sums stay with
    YNNPACK: its softmax takes a quarter of the time.
    """
    if jax.default_backend() != "cpu":
        return {}
    by_ynnpack = ("DOT", "REDUCE", "INDIVIDUAL_DOT")
    return {"xla_cpu_experimental_ynn_fusion_type": ",".join(f"LIBRARY_FUSION_TYPE_{kind}" for kind in by_ynnpack)}


def support_chunk() -> int:
    """Support entries at a time: one stays in a processor's cache, an accelerator wants many at once."""
    return 1 if jax.default_backend() == "cpu" else 64


def kernel_gradient_by_products() -> bool:
    """Whether gradients of convolution kernels are matrix products (`nn/kernel_gradient.py`) or left to XLA."""
    return jax.default_backend() == "cpu"


def feature_memory() -> int:
    """Bytes that the features of the targets taken at a time may fill."""
    return 2**28 if jax.default_backend() == "cpu" else 2**33


def attention_memory() -> int:
    """Bytes that the logits of an attention may fill; beyond, one head is taken after the other.

    On CPU, where a head's logits fit into the cache better than all of them, that takes 0.55 to 0.7 of the time with
    1370 to 4096 tokens, and a ninth of the memory.
    """
    return 2**24 if jax.default_backend() == "cpu" else 2**31

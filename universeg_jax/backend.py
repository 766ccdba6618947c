"""Choices that depend on the platform: they change speed and memory, never results.

`compiled` compiles a method of a network with these choices. `return_freed_arrays` keeps the process small.
"""

import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, wraps
from typing import Any

import jax
import jax.numpy as jnp

_PLATFORM: ContextVar[str | None] = ContextVar("platform", default=None)


@contextmanager
def compile_for(platform: str) -> Iterator[None]:
    """Make the choices of this module for a platform other than the default one.

    It serves compilation for a machine that is not available. Trace a new function inside: JAX reuses earlier traces of
    the same function, with the choices of that time.

    Args:
        platform: "cpu", "gpu" or "tpu".
    """
    token = _PLATFORM.set(platform)
    try:
        yield
    finally:
        _PLATFORM.reset(token)


def _platform() -> str:
    return _PLATFORM.get() or jax.default_backend()


def _on_cpu() -> bool:
    return _platform() == "cpu"


def compiler_options() -> dict[str, Any]:
    """Return the options for `jax.jit(..., compiler_options=...)`.

    On a CPU, convolutions go to Eigen instead of YNNPACK. YNNPACK uses one core only for images narrower than 128
    pixels (jax 0.10). Matrix products and reductions stay with YNNPACK, whose softmax is faster.
    """
    if not _on_cpu():
        return {}
    by_ynnpack = ("DOT", "REDUCE", "INDIVIDUAL_DOT")
    return {"xla_cpu_experimental_ynn_fusion_type": ",".join(f"LIBRARY_FUSION_TYPE_{kind}" for kind in by_ynnpack)}


def support_chunk() -> int:
    """Return the number of support entries computed at a time.

    The features of one entry fit into the cache of a processor. An accelerator is faster with many at once.
    """
    return 1 if _on_cpu() else 64


def support_lanes(features: int) -> int:
    """Return the number of support entries side by side in the channels of one array (`nn/lanes.py`).

    A TPU pads the channels of each pixel to 128.
    """
    return max(1, 128 // features) if _platform() == "tpu" else 1


def fold_pixels() -> bool:
    """Return whether the first block of UniverSeg computes 2×2 blocks of pixels as channels (`nn/conv_twice.py`)."""
    return _platform() == "tpu"


def upsample_by_products() -> bool:
    """Return whether `nn/resample.py` upsamples by matrix products. A TPU gathers in a loop."""
    return _platform() == "tpu"


def kernel_gradient_by_products() -> bool:
    """Return whether `nn/conv.py` computes gradients of kernels by matrix products or leaves them to XLA."""
    return _on_cpu()


def encoded_at_once() -> int:
    """Return the number of images that an image encoder takes at a time.

    On a CPU one image at a time needs a tenth less time than four, and a quarter of their memory.
    """
    return 1 if _on_cpu() else 4


def feature_memory() -> int:
    """Return the bytes that the features of the targets computed at a time may fill.

    On a TPU they stay in the vector memory (VMEM), which holds 128 MB with all intermediate results.
    """
    return {"cpu": 2**28, "tpu": 2**25}.get(_platform(), 2**33)


def attention_memory() -> int:
    """Return the bytes that the logits of an attention may fill before its heads are computed one by one.

    On a CPU one head fits into the cache better than all heads.
    """
    return 2**24 if _on_cpu() else 2**31


def compiled(*, static: Sequence[str] = ()) -> Callable[[Callable], Callable]:
    """Compile a method of a module once for each combination of shapes, with `backend.compiler_options`.

    A call inside `jax.jit`, `jax.grad` and the like with traced arguments becomes part of the outer program instead.

    Args:
        static: names of keyword arguments that are not arrays. Their values must be hashable. All other arguments
            are arrays or None.
    """

    def decorate(method: Callable) -> Callable:
        @cache
        def jitted() -> Callable:
            return jax.jit(method, static_argnames=static, compiler_options=compiler_options())

        @wraps(method)
        def call(self, *args, **kwargs):
            options = {name: kwargs.pop(name) for name in static if name in kwargs}
            if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((self, args, kwargs))):
                args, kwargs = jax.tree.map(jnp.asarray, (args, kwargs))
                return method(self, *args, **kwargs, **options)
            with jax.core.eval_context():  # a call inside another jit would refuse the compiler options
                return jitted()(self, *args, **kwargs, **options)

        return call

    return decorate


LEAST = 2**18
"""Bytes from which a freed array is returned."""

_MMAP_THRESHOLD, _ARENA_MAX = -3, -8  # in malloc.h of glibc


def return_freed_arrays() -> None:
    """Return the memory of freed arrays to the system.

    By default glibc keeps freed arrays below 32 MB for later ones. After a network has run, these gaps add up to
    hundreds of megabytes. Threads share one heap for the same reason. The settings hold for the whole process. Other C
    libraries stay as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc
        return
    mallopt(_MMAP_THRESHOLD, LEAST)
    mallopt(_ARENA_MAX, 1)

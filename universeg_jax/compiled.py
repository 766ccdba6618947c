"""Decorator that compiles a method with `jax.jit` when it is called, once for each combination of shapes."""

from collections.abc import Callable, Sequence
from functools import cache, wraps

import jax
import jax.numpy as jnp

from universeg_jax import backend


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
            return jax.jit(method, static_argnames=static, compiler_options=backend.compiler_options())

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

"""Read the tensors of one network from a checkpoint, whatever prefix its training code put before their names."""

import os
import warnings
from collections.abc import Mapping

import numpy as np

from universeg_jax.errors import WeightsError, listing
from universeg_jax.weights.networks import NETWORKS
from universeg_jax.weights.torch_io.file import load_torch

SIGNS = tuple(sign for network in NETWORKS for sign in network.signs)
"""Names of tensors, one of which each kind of network has."""


def read_checkpoint(path: str | os.PathLike, *, key: str | None = None) -> dict[str, np.ndarray]:
    """Read a state dict, and remove a common prefix such as "module." or "model." from its names.

    Args:
        path: a file that `load_torch` reads.
        key: name of the dictionary of tensors to take, or prefix of the names, where a file holds several networks.

    Raises:
        WeightsError: a file that `load_torch` refuses, or several networks without a key.

    Warns:
        UserWarning: a prefix that was removed, and tensors that are not part of the network.
    """
    try:
        return without_prefix(load_torch(path, key=key), str(path))
    except WeightsError as error:
        if key is None:
            raise
        state_dict = load_torch(path)
        prefix = f"{key.removesuffix('.')}."
        chosen = {name: tensor for name, tensor in state_dict.items() if name.startswith(prefix)}
        if not chosen:
            raise error from None
        return without_prefix(chosen, str(path))


def without_prefix(state_dict: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """Remove a common prefix from the names of a known network; other state dicts stay as they are.

    Args:
        name: of the file, for messages.
    """
    if any(sign in state_dict for sign in SIGNS):
        return dict(state_dict)
    prefixes = {tensor[: -len(sign)] for sign in SIGNS for tensor in state_dict if tensor.endswith(f".{sign}")}
    # "image_encoder." of a SAM also ends in signs of other networks: the shortest prefix holds the whole network.
    prefixes = {one for one in prefixes if not any(one != other and one.startswith(other) for other in prefixes)}
    if len(prefixes) > 1:
        keys = listing(sorted(prefix.removesuffix(".") for prefix in prefixes))
        raise WeightsError(f"{name}: holds several networks: pass key= (or --key) one of {keys}")
    if not prefixes:
        return dict(state_dict)
    [prefix] = prefixes
    found = {tensor.removeprefix(prefix): value for tensor, value in state_dict.items() if tensor.startswith(prefix)}
    rest = [tensor for tensor in state_dict if not tensor.startswith(prefix)]
    ignored = f"; not part of the network, ignored: {listing(rest)}" if rest else ""
    warnings.warn(f"{name}: the prefix {prefix!r} of its tensors is removed{ignored}", stacklevel=3)
    return found

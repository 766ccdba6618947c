"""The names of UniverSeg's parameters in the official code (github.com/JJGO/UniverSeg) and here."""

from collections.abc import Mapping

import numpy as np

from universeg_jax.errors import WeightsError
from universeg_jax.models.universeg import UniverSeg, UniverSegConfig
from universeg_jax.nn.cross_conv import Activation
from universeg_jax.weights.mapping import CONV, VECTOR, Entry, blueprint, export_tensors, import_tensors


def universeg_table(config: UniverSegConfig) -> list[Entry]:
    """The tensors of the official state dict, in its order."""
    blocks = [(f"enc_blocks.{i}", f"encoder.{i}") for i in range(len(config.encoder_features))]
    blocks += [(f"dec_blocks.{i}", f"decoder.{i}") for i in range(len(config.decoder))]
    table = []
    for theirs, ours in blocks:
        cross_kernels = (f"{ours}.cross.kernel_target", f"{ours}.cross.kernel_support")
        table += [
            Entry(f"{theirs}.cross.cross_conv.weight", cross_kernels, CONV, join=1),
            Entry(f"{theirs}.cross.cross_conv.bias", (f"{ours}.cross.bias",), VECTOR),
            Entry(f"{theirs}.target.vmapped.conv.weight", (f"{ours}.target.kernel",), CONV),
            Entry(f"{theirs}.target.vmapped.conv.bias", (f"{ours}.target.bias",), VECTOR),
            Entry(f"{theirs}.support.vmapped.conv.weight", (f"{ours}.support.kernel",), CONV),
            Entry(f"{theirs}.support.vmapped.conv.bias", (f"{ours}.support.bias",), VECTOR),
        ]
    table += [
        Entry("out_conv.conv.weight", ("head.kernel",), CONV),
        Entry("out_conv.conv.bias", ("head.bias",), VECTOR),
    ]
    return table


def import_universeg(model: UniverSeg, state_dict: Mapping[str, np.ndarray]) -> None:
    """Fill a UniverSeg, in place, with a state dict of the official code: every tensor used, every parameter filled.

    Args:
        model: of the configuration of the state dict.
        state_dict: names -> arrays of any floating-point type; weights (out,in,kh,kw). They become float32.

    Raises:
        WeightsError: as `keys.import_tensors`; the model is as before.
    """
    import_tensors(model, state_dict, universeg_table(model.config), infer_config=infer_config)


def export_universeg(model: UniverSeg) -> dict[str, np.ndarray]:
    """The state dict that the official code loads with `strict=True`, in its order."""
    return export_tensors(model, universeg_table(model.config))


def universeg_from(state_dict: Mapping[str, np.ndarray], *, cross_activation: Activation | None = None) -> UniverSeg:
    """A UniverSeg made of a state dict of the official code, with the configuration its shapes imply.

    Raises:
        WeightsError: as `import_universeg`; beside the released network if no configuration can be told.
    """
    try:
        config = infer_config(state_dict, cross_activation=cross_activation)
    except WeightsError:
        config = UniverSegConfig(cross_activation=cross_activation)
    model = blueprint(UniverSeg, config)
    import_universeg(model, state_dict)
    return model


def infer_config(
    state_dict: Mapping[str, np.ndarray], *, cross_activation: Activation | None = None
) -> UniverSegConfig:
    """The configuration that the shapes in a state dict of the official code imply.

    Args:
        cross_activation: what no file shows: the activation of the cross-convolution it was trained with.

    Raises:
        WeightsError: where it has no stages to count, or their number cannot be that of a UniverSeg.
    """

    def features(name: str) -> int:
        weight = state_dict.get(name)
        if weight is None or np.ndim(weight) != 4 or np.size(weight) == 0:
            raise WeightsError(f"these are not the weights of a UniverSeg: {name} is missing or no convolution")
        return weight.shape[0]

    def stages(name: str) -> tuple[tuple[int, int], ...]:
        found = []
        while f"{name}.{len(found)}.cross.cross_conv.weight" in state_dict:
            stage = f"{name}.{len(found)}"
            found.append(
                (features(f"{stage}.cross.cross_conv.weight"), features(f"{stage}.target.vmapped.conv.weight"))
            )
        return tuple(found)

    encoder, decoder = stages("enc_blocks"), stages("dec_blocks")
    if decoder == encoder[-2::-1]:
        decoder = None
    try:
        return UniverSegConfig(encoder, decoder, cross_activation)
    except ValueError as error:
        raise WeightsError(f"these are not the weights of a UniverSeg: {error}") from None

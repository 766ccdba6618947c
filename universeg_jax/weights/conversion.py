"""Convert a checkpoint into a folder of weights: read, fit, write, read again, compare, print a report."""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from universeg_jax.errors import InputError, WeightsError
from universeg_jax.models.dinov2 import DINOv2
from universeg_jax.models.sam.model import SAM
from universeg_jax.models.sam.tiny_vit import TinyViTConfig
from universeg_jax.models.universeg import UniverSeg
from universeg_jax.util.files import GitBlobId
from universeg_jax.weights import store
from universeg_jax.weights.mapping import get_parameters
from universeg_jax.weights.names.dinov2 import UNUSED, dinov2_from
from universeg_jax.weights.names.sam import is_medsam, sam_from, sam_unused
from universeg_jax.weights.names.universeg import universeg_from
from universeg_jax.weights.networks import ACTIVATIONS, Model, converter_for, looks_like
from universeg_jax.weights.torch_io.file import load_torch


def convert_universeg(file: Path, out: Path, *, cross_activation: str | None = None, **options: Any) -> None:
    """Convert a .pt file of the official UniverSeg code, and print a report.

    Args:
        file: the checkpoint.
        out: folder to write.
        cross_activation: name of the activation after the cross-convolution; None in the released network.
        options: as for `convert`.

    Raises:
        InputError: unknown activation.
        WeightsError: unusable file or folder; nothing is written then.
    """
    if cross_activation is not None and cross_activation not in ACTIVATIONS:
        raise InputError(f"--cross-activation {cross_activation}: choose one of {', '.join(sorted(ACTIVATIONS))}")
    make = partial(universeg_from, cross_activation=ACTIVATIONS.get(cross_activation))

    def describe(model: UniverSeg) -> list[str]:
        return [
            f"encoder {model.config.encoder_features}, decoder {model.config.decoder}",
            f"cross activation {cross_activation or 'none'}",
        ]

    convert(file, out, "universeg", make, describe=describe, compare=_output_difference, **options)


def convert_sam(file: Path, out: Path, *, medsam: bool | None = None, **options: Any) -> None:
    """Convert a file of SAM, MedSAM, MobileSAM or LiteMedSAM, and print a report.

    Args:
        file: the checkpoint.
        out: folder to write.
        medsam: whether a ViT-B takes images in [0,1] as MedSAM does; None where the file shows it.
        options: as for `convert`.

    Raises:
        WeightsError: unusable file or folder; nothing is written then.
    """

    def make(state_dict: Mapping[str, np.ndarray]) -> SAM:
        return sam_from(state_dict, medsam=is_medsam(file, state_dict, medsam=medsam))

    convert(
        file,
        out,
        "sam",
        make,
        describe=_describe_sam,
        compare=_parameter_difference,
        unused=lambda model: sam_unused(model.config),
        **options,
    )


def convert_dinov2(file: Path, out: Path, **options: Any) -> None:
    """Convert a released file of DINOv2, and print a report.

    Args:
        file: the checkpoint.
        out: folder to write.
        options: as for `convert`.

    Raises:
        WeightsError: unusable file or folder; nothing is written then.
    """
    convert(
        file,
        out,
        "dinov2",
        dinov2_from,
        describe=_describe_dinov2,
        compare=_parameter_difference,
        unused=lambda model: UNUSED,
        **options,
    )


def convert(
    file: Path,
    out: Path,
    converter: str,
    make: Callable[[Mapping[str, np.ndarray]], Model],
    *,
    describe: Callable[[Model], Collection[str]],
    compare: Callable[[Model, Model], tuple[str, float]],
    unused: Callable[[Model], Collection[str]] = lambda model: (),
    overwrite: bool = False,
    source: str | None = None,
    licence: str | None = None,
) -> None:
    """Convert one file, and print a report.

    Args:
        file: the checkpoint.
        out: folder to write.
        converter: name of the network ("universeg", "sam", "dinov2"), by which files of other networks are detected.
        make: builds a model from a state dict.
        describe: returns lines about the model.
        compare: returns what was compared between the model and the same model read again, and the largest difference.
        unused: returns names of tensors that a file may hold and the model does not use.
        overwrite: whether an existing folder of weights may be replaced.
        source: origin of the file, recorded with the weights.
        licence: licence, recorded with the weights.

    Raises:
        WeightsError: unusable file or folder; nothing is written then.
    """
    provenance = {"source": source, "licence": licence, "file": file.name}
    with store.new_folder(out, overwrite=overwrite) as new:
        tensors = load_torch(file)
        provenance["git_blob_sha1"] = GitBlobId.of(file).value
        try:
            model = make(tensors)
        except WeightsError as error:
            hint = "" if converter_for(tensors) == converter else looks_like(tensors)
            raise WeightsError("\n".join(filter(None, (f"{file}: {error}", hint)))) from None
        store.save(model, new, provenance=provenance)
        compared, difference = compare(model, store.load(new))
        if difference != 0:
            raise WeightsError(f"{out}: the written weights compute something else; check the disk")
    parameters = get_parameters(model)
    left = sorted(tensors.keys() & set(unused(model)))
    use = f"all used but {len(left)} that the network does not need, as {left[0]}" if left else "all used"
    print(f"read      {file}, git blob id {provenance['git_blob_sha1']}")
    print(f"tensors   {len(tensors)} for {sum(value.size for value in parameters.values()):,} parameters, {use}")
    for title, line in zip(["network", *[""] * 9], describe(model), strict=False):
        print(f"{title:9} {line}")
    print(f"wrote     {out}, {_size(out) / 1e6:.2f} MB")
    print(f"compared  before and after, {compared}: max difference {difference}")


def _describe_sam(model: SAM) -> list[str]:
    config, encoder = model.config, model.config.encoder
    plain = set(config.mean) == {0.0} and set(config.deviation) == {1.0}
    if isinstance(encoder, TinyViTConfig):
        kind = f"TinyViT of {encoder.features} features, {encoder.depths} blocks"
    else:
        kind = f"ViT of {encoder.features} features, {encoder.depth} blocks"
    return [
        f"SAM with a {kind}, for images of {config.input_size} pixels",
        "intensities in [0,1] as they are" if plain else "SAM's mean and deviation of colours",
    ]


def _describe_dinov2(model: DINOv2) -> list[str]:
    config = model.config
    return [
        f"DINOv2, {config.depth} blocks of {config.features} features, {config.registers} registers, "
        f"{'SwiGLU' if config.gated else 'GELU'}",
        f"patches of {config.patch} pixels, positions for {config.grid}x{config.grid}",
    ]


def _parameter_difference(model: Model, again: Model) -> tuple[str, float]:
    """Return the largest difference between the parameters of two models, where neither has NaN."""
    others = get_parameters(again)
    pairs = [(np.asarray(value), np.asarray(others[name])) for name, value in get_parameters(model).items()]
    return f"{len(pairs)} parameters", float(max(np.abs(value - other).max() for value, other in pairs))


def _output_difference(model: UniverSeg, again: UniverSeg) -> tuple[str, float]:
    """Return the largest difference between the logits of two models; NaN in both is none."""
    outputs, others = example_outputs(model), example_outputs(again)
    equal = np.array_equal(outputs, others, equal_nan=True)
    return f"{outputs.size} logits on a fixed input", 0.0 if equal else float(np.abs(outputs - others).max())


def example_outputs(model: UniverSeg) -> np.ndarray:
    """Compute logits on a fixed input: a random target and three support entries, 4x4 pixels in the deepest stage."""
    side = 4 * 2 ** (len(model.config.encoder_features) - 1)
    target, images, labels = np.split(np.random.default_rng(0).random((7, side, side, 1), np.float32), [1, 4])
    return np.asarray(jax.jit(lambda model, *inputs: model(*inputs))(model, target, images[None], labels[None] > 0.5))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

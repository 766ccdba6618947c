"""Load models by name or path: `load`, `universeg`, `protosam`."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flax import nnx

from universeg_jax.cache import cache_folder
from universeg_jax.errors import InputError, WeightsError
from universeg_jax.models.dinov2 import DINOv2
from universeg_jax.models.in_context import Blend
from universeg_jax.models.sam.model import SAM
from universeg_jax.models.universeg import UniverSeg, UniverSegConfig
from universeg_jax.weights import shipped, store
from universeg_jax.weights.catalogue import LITE_MEDSAM, RELEASES, Release
from universeg_jax.weights.conversion import load_release, read_checkpoint
from universeg_jax.weights.lora import is_lora, load_lora
from universeg_jax.weights.networks import Model, model_from

if TYPE_CHECKING:
    from universeg_jax.models.protosam.config import ProtoSAMConfig
    from universeg_jax.models.protosam.pipeline import ProtoSAM

PROTOSAM = LITE_MEDSAM.name
"""Default weights of ProtoSAM."""

BLEND = "universeg+protosam"
"""Name of the mean of UniverSeg and ProtoSAM with their default weights."""

PROTOSAM_SHARE = {1: 0.75}
"""Weight of ProtoSAM in that mean, by the smallest number of examples that it applies to. It was chosen on training
sets: experiments/results/choice.md."""


@dataclass(frozen=True)
class NamedWeights:
    """A named set of weights, and its state: shipped, in a folder, or to be downloaded."""

    name: str
    state: str
    licence: str


def known_weights() -> list[NamedWeights]:
    """List all weights that have a name; shipped ones come first."""
    listed = [
        NamedWeights(name, "shipped", store.read_description(shipped.FOLDER / name)["provenance"]["licence"])
        for name in shipped.NAMES
    ]
    for release in RELEASES:
        places = (cache_folder() / release.name, cache_folder() / release.file_name)
        found = next((place for place in places if place.exists()), None)
        state = f"in {found}" if found else f"downloaded when first used, {release.megabytes} MB"
        listed.append(NamedWeights(release.name, state, release.licence))
    return listed


def card(name: str) -> str:
    """Return the model card of a named set of weights, in Markdown.

    Raises:
        WeightsError: for an unknown name.
    """
    if name in shipped.NAMES:
        return (shipped.FOLDER / name / "MODEL_CARD.md").read_text(encoding="utf-8")
    release = _release(name)
    if release is None:
        raise WeightsError(
            shipped.where_earlier(name)
            if name in shipped.EARLIER
            else f"unknown weights {name!r}; known are {_names()}"
        )
    return f"# {release.name}\n{release.about}\n\n- Licence: {release.licence}\n- File: {release.source}\n"


def load(weights: str | os.PathLike) -> Model | Blend:
    """Load the model of a set of weights: a UniverSeg, a SAM, a DINOv2, or the blend "universeg+protosam".

    Args:
        weights: a name (`known_weights`), a folder that `store.save` or `universeg-jax convert` wrote, or a released
            file of PyTorch. A name is tried before a path: "./open-v4" is a folder. Properties that no file shows are
            as in the released network: a UniverSeg has no cross activation.

    Raises:
        WeightsError: weights that are unknown, damaged, of another network, or cannot be downloaded. Also the ViT-B of
            a SAM in a file that is neither SAM's nor MedSAM's; `universeg-jax convert` takes the missing answer.

    Warns:
        UserWarning: a released file is not the expected one.
    """
    if weights == BLEND:
        shares = {number: (1 - share, share) for number, share in PROTOSAM_SHARE.items()}
        return Blend((store.load(shipped.FOLDER / shipped.DEFAULT), protosam()), shares)
    return load_network(weights)


def load_network(weights: str | os.PathLike) -> Model:
    """Load one network, as `load` does.

    Raises:
        WeightsError: as `load`, and for the name of a blend.
    """
    if weights == BLEND:
        raise WeightsError(f"{BLEND} is a mean of two models; pass the weights of one network, such as {_names()}")
    if weights in shipped.NAMES:
        return store.load(shipped.FOLDER / weights)
    release = _release(weights)
    if release is not None:
        return load_release(release)
    path = Path(weights)
    if path.is_dir():
        return load_lora(path) if is_lora(path) else store.load(path)
    if not path.exists() and weights in shipped.EARLIER:
        raise WeightsError(shipped.where_earlier(str(weights)))
    if not path.exists():
        raise WeightsError(
            f"unknown weights {str(weights)!r}: no such file or folder, and known names are {_names()}, {BLEND}"
        )
    state_dict = read_checkpoint(path)
    try:
        return model_from(state_dict, path)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None


def universeg(
    pretrained: bool | str | os.PathLike = False,
    *,
    config: UniverSegConfig | None = None,
    rngs: nnx.Rngs | None = None,
) -> UniverSeg:
    """Make a UniverSeg with random or trained weights.

    Args:
        pretrained: True for the authors' weights, which are downloaded when first used; or a name or path for `load`.
        config: configuration of a network with random weights; None takes the released network's.
        rngs: random numbers for random weights; None is `nnx.Rngs(0)`.

    Raises:
        InputError: pretrained together with config or rngs.
        WeightsError: as `load`, which may also warn.
    """
    if pretrained is False:
        return UniverSeg(config or UniverSegConfig.v1(), rngs=rngs or nnx.Rngs(0))
    if config is not None or rngs is not None:
        raise InputError("trained weights come with their configuration: pass config and rngs without pretrained")
    weights = "universeg-v1" if pretrained is True else pretrained
    model = load(weights)
    if not isinstance(model, UniverSeg):
        raise WeightsError(f"{weights} is a {type(model).__name__}, not a UniverSeg; weights.load loads it")
    return model


def _release(name: str | os.PathLike) -> Release | None:
    return next((release for release in RELEASES if release.name == name), None)


def _names() -> str:
    return ", ".join([*shipped.NAMES, *(release.name for release in RELEASES)])


def protosam(
    sam: str | os.PathLike = PROTOSAM,
    *,
    features: str | os.PathLike | None = None,
    config: "ProtoSAMConfig | None" = None,
) -> "ProtoSAM":
    """Make a ProtoSAM of trained networks.

    Args:
        sam: weights of the network that refines, as `load` takes them.
        features: weights of a DINOv2 for the prototypes; None takes features of the SAM's own image encoder.
        config: None is `ProtoSAMConfig()`.

    Raises:
        WeightsError: as `load`, and for weights of another kind of network.
    """
    # Imported here because a prediction with UniverSeg does not need it.
    from universeg_jax.models.protosam.config import ProtoSAMConfig
    from universeg_jax.models.protosam.encoder import DINOv2Features
    from universeg_jax.models.protosam.pipeline import ProtoSAM

    network = load_network(sam)
    if not isinstance(network, SAM):
        raise WeightsError(f"{sam} is a {type(network).__name__}; ProtoSAM refines with a SAM, such as {PROTOSAM}")
    config = ProtoSAMConfig() if config is None else config
    extractor = None
    if features is not None:
        dinov2 = load_network(features)
        if not isinstance(dinov2, DINOv2):
            raise WeightsError(f"{features} is a {type(dinov2).__name__}; features are taken from a DINOv2")
        extractor = DINOv2Features(dinov2, standardise=config.standardise)
    return ProtoSAM(network, features=extractor, config=config)

"""Settings without meaning: refused with the argument, its value and what to pass."""

from dataclasses import fields

import jaxtyping
import pytest

from universeg_jax.errors import InputError
from universeg_jax.models.dinov2 import DINOv2Config
from universeg_jax.models.protosam.config import (
    ALPConfig,
    ComponentsConfig,
    LinearConfig,
    PromptsConfig,
    ProtoSAMConfig,
    RefinementConfig,
    Turn,
)
from universeg_jax.models.sam.image_encoder import ImageEncoderConfig
from universeg_jax.models.sam.model import SAMConfig
from universeg_jax.models.sam.tiny_vit import TinyViTConfig


@pytest.fixture(autouse=True)
def without_annotations():
    """Test the checks of the configurations themselves; the hook of the tests would raise before them."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


KINDS = (
    ALPConfig,
    ComponentsConfig,
    DINOv2Config,
    ImageEncoderConfig,
    LinearConfig,
    PromptsConfig,
    ProtoSAMConfig,
    RefinementConfig,
    SAMConfig,
    TinyViTConfig,
    Turn,
)
NUMBERS = [
    (kind, field.name) for kind in KINDS for field in fields(kind) if type(getattr(kind(), field.name)) in (int, float)
]
OPTIONAL = [(ProtoSAMConfig, "nearest")]  # None: all examples
TUPLES = [
    (kind, field.name)
    for kind in KINDS
    for field in fields(kind)
    if field.name != "turns" and isinstance(getattr(kind(), field.name), tuple)
]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), "1", True, None])
def test_what_is_no_finite_number_is_refused_everywhere(value):
    assert len(NUMBERS) > 30
    for kind, name in NUMBERS:
        if value is None and (kind, name) in OPTIONAL:
            continue
        with pytest.raises(InputError, match=rf"{kind.__name__}\.{name}={value!r}: pass a (whole|finite) number"):
            kind(**{name: value})


def test_nan_in_tuples_is_refused_everywhere():
    assert len(TUPLES) == 8
    for kind, name in [*TUPLES, (ProtoSAMConfig, "stages")]:
        values = (*(getattr(kind(), name) or (1.0,))[:-1], float("nan"))
        with pytest.raises(InputError, match=rf"{kind.__name__}\.{name}\[{len(values) - 1}\]=nan: pass"):
            kind(**{name: values})
        with pytest.raises(InputError, match=rf"{kind.__name__}\.{name}=3: pass a tuple"):
            kind(**{name: 3})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Turn(quarters=1.5), r"Turn\.quarters=1\.5: pass a whole number$"),
        (lambda: ALPConfig(window=0), r"ALPConfig\.window=0: pass a whole number at least 1$"),
        (lambda: ALPConfig(purity=1), r"purity=1: pass a finite number above 0 and below 1$"),
        (lambda: ALPConfig(foreground_grid=2.5), r"foreground_grid=2\.5: pass a whole number at least 1$"),
        (lambda: ALPConfig(label_sampling="area"), "label_sampling='area': pass one of LabelSampling.AREA, "),
        (lambda: LinearConfig(ridge=0.0), r"ridge=0\.0: pass a finite number above 0$"),
        (lambda: ComponentsConfig(keep=None), "keep=None: pass one of Keep.ALL, "),
        (lambda: PromptsConfig(mask=True), "mask=True: pass one of MaskPrompt.NONE, "),
        (lambda: PromptsConfig(box=False), "a prompt needs a box, a point or a mask"),
        (lambda: RefinementConfig(mask_choice=1), "mask_choice=1: pass one of MaskChoice.SINGLE, "),
        (lambda: RefinementConfig(agreement=-1), r"agreement=-1: pass a finite number at least 0 and at most 1$"),
        (lambda: ProtoSAMConfig(stages=(1.0, 0.0)), "stages=.*a positive one for the last"),
        (lambda: ProtoSAMConfig(stages=()), "stages=.*a weight for each stage"),
        (lambda: ProtoSAMConfig(alp=None), r"ProtoSAMConfig\.alp=None: pass an instance of ALPConfig"),
        (lambda: ProtoSAMConfig(turns=(1,)), r"turns=\(1,\): pass a tuple of Turn"),
        (lambda: SAMConfig(deviation=(1.0, 0.0, 1.0)), r"deviation\[1\]=0\.0: pass a finite number above 0$"),
        (lambda: SAMConfig(mean=(0.0, 0.0)), r"mean=\(0\.0, 0\.0\): pass a tuple of 3 numbers"),
        (lambda: ImageEncoderConfig(depth=8), r"global_blocks\[2\]=8: pass a whole number at least 0 and at most 7$"),
        (lambda: DINOv2Config(heads=0), r"heads=0: pass a whole number at least 1$"),
    ],
)
def test_choices_without_meaning_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()

"""Configuration of ProtoSAM.

`ProtoSAMConfig()` measured best on tasks of many kinds; `ProtoSAMConfig.upstream()` is the released code.
"""

from dataclasses import dataclass, field
from enum import Enum, auto

from universeg_jax.errors import InputError
from universeg_jax.util.checks import check_kind, check_numbers, check_tuple

STAGES = (0.1, 0.2, 0.7)  # default of `ProtoSAMConfig.stages`


class LabelSampling(Enum):
    """Method of resizing labels to the resolution of the features."""

    AREA = auto()  # soft: the foreground fraction of a feature's pixel
    NEAREST = auto()  # the label of one pixel, as upstream; it misses thin structures


class Keep(Enum):
    """Rule that chooses connected components of the coarse mask."""

    ALL = auto()
    MOST_CONFIDENT = auto()  # the one with the largest sum of probabilities
    AS_SUPPORT = auto()  # the most confident ones, at most as many as one mask of the support has


class MaskChoice(Enum):
    """Choice among the decoder's four masks. Mask 0 is meant for clear prompts, masks 1 to 3 for ambiguous ones."""

    SINGLE = auto()  # mask 0
    FIRST_OF_THREE = auto()  # mask 1, whatever its predicted IoU
    BEST_OF_THREE = auto()  # among masks 1 to 3, the one with the highest predicted IoU
    BEST_OF_FOUR = auto()
    UNION_OF_THREE = auto()  # masks 1 to 3 together


class MaskPrompt(Enum):
    """Coarse mask as a prompt for the decoder, in addition to boxes and points."""

    NONE = auto()
    BINARY = auto()  # constants of upstream: 10 inside the component and -8 outside
    LOGITS = auto()  # coarse logits, made negative outside the component


@dataclass(frozen=True)
class ALPConfig:
    """Prototypes (`alp.py`).

    Attributes:
        window: side of a cell in features (2, validation of the released code).
        purity: smallest fraction of one class that makes a cell a prototype. 0.75 accepts cells that the outline
            touches, and so most structures a few features wide. ALPNet has 0.95.
        scale: factor of cosines before the softmax (20, ALPNet).
        foreground_grid: blocks a side that the features are divided into. An entry without a block of pure foreground
            has its global prototype only (8, ALPNet). None uses every pure cell.
        label_sampling: method of resizing labels to the features.
        position_weight: factor of the squared distance between a pixel and a prototype's place, in units of half an
            image. The product is subtracted from their similarity. It helps if all images are taken in one way, as
            medical ones often are. 0 (ALPNet) suits structures that may be anywhere.
        joint: score the foreground by one softmax over all entries, as the background. False (ALPNet) takes the maximum
            over one softmax for each entry. Then the foreground grows with the number of entries.
    """

    window: int = 2
    purity: float = 0.75
    scale: float = 20.0
    foreground_grid: int | None = None
    label_sampling: LabelSampling = LabelSampling.AREA
    position_weight: float = 1.0
    joint: bool = True

    def __post_init__(self):
        check_numbers(self, "window", least=1, whole=True)
        check_numbers(self, "purity", above=0, below=1)
        check_numbers(self, "scale", above=0)
        check_numbers(self, "position_weight", least=0)
        check_kind(self, "label_sampling", LabelSampling)
        if self.foreground_grid is not None:
            check_numbers(self, "foreground_grid", least=1, whole=True)


@dataclass(frozen=True)
class LinearConfig:
    """Linear classifier, in addition to prototypes (`linear.py`).

    Attributes:
        weight: factor of its scores, which are about 1 and -1, in the coarse logits. It applies to one example. A
            classifier fitted to more is more reliable, and its factor grows to twice that for 16 examples.
        ridge: penalty of squared weights, relative to the mean square of its input.
        position: factor of the position's terms; 0 removes them.
    """

    weight: float = 1.0
    ridge: float = 0.1
    position: float = 0.3

    def __post_init__(self):
        check_numbers(self, "weight", "position", least=0)
        check_numbers(self, "ridge", above=0)


@dataclass(frozen=True)
class ComponentsConfig:
    """Connected components of the coarse mask at a probability of 0.5 (`prompts.py`).

    Attributes:
        keep: rule that chooses them.
        smallest: fraction of the largest component's area; smaller components are neither kept nor counted.
        at_most: largest number of prompts for an image. Further components keep their coarse mask.
    """

    keep: Keep = Keep.AS_SUPPORT
    smallest: float = 0.0
    at_most: int = 64

    def __post_init__(self):
        check_kind(self, "keep", Keep)
        check_numbers(self, "smallest", least=0, most=1)
        check_numbers(self, "at_most", least=1, whole=True)


@dataclass(frozen=True)
class PromptsConfig:
    """Prompts for each component (`prompts.py`).

    Attributes:
        box: prompt with the bounding box.
        box_margin: margin added to each side of the box, as a fraction of the image.
        confident_points: number of positive points at the pixels of highest probability.
        centroid: prompt with a positive point at the centroid, which may lie outside a concave component.
        global_negative: prompt with a negative point at the most confident background pixel of the image.
        local_negative: prompt with a negative point at the most confident background pixel of a ring around it.
        ring: width of that ring in pixels of the encoder's image.
        mask: the coarse mask as a prompt.
    """

    box: bool = True
    box_margin: float = 0.012
    confident_points: int = 0
    centroid: bool = False
    global_negative: bool = False
    local_negative: bool = False
    ring: int = 10
    mask: MaskPrompt = MaskPrompt.NONE

    @property
    def points(self) -> int:
        """Number of points of a prompt."""
        return self.confident_points + self.centroid + self.global_negative + self.local_negative

    def __post_init__(self):
        check_numbers(self, "box_margin", least=0)
        check_numbers(self, "confident_points", least=0, whole=True)
        check_numbers(self, "ring", least=1, whole=True)
        check_kind(self, "mask", MaskPrompt)
        if not (self.box or self.points or self.mask is not MaskPrompt.NONE):
            raise InputError("a prompt needs a box, a point or a mask: turn one on, or pass refinement=None")


@dataclass(frozen=True)
class RefinementConfig:
    """Rules for replacing the coarse mask by the decoder's.

    On average over many tasks the decoder neither gains nor loses (`experiments/results/protosam_choices.md`).

    Attributes:
        mask_choice: choice among the decoder's masks.
        support_dice: smallest Dice of the decoder's masks on the support, prompted with boxes of the true masks. A
            class below it stays coarse. 0 refines always.
        stability: smallest stability score (SAM): the area above a logit of 2 divided by the area above -2. A
            component below it stays coarse.
        agreement: smallest IoU of a refined component with the coarse one; a component below it stays coarse.
        largest_box: fraction of the image; a component with a larger box stays coarse, because such a box helps little.
        coarse_weight: weight of the coarse logits in the mean with refined logits, which have weight 1.
    """

    mask_choice: MaskChoice = MaskChoice.SINGLE
    support_dice: float = 0.8
    stability: float = 0.7
    agreement: float = 0.5
    largest_box: float = 0.9
    coarse_weight: float = 1.0

    @classmethod
    def always(cls, mask_choice: MaskChoice = MaskChoice.SINGLE) -> "RefinementConfig":
        """Always take the decoder's mask, alone."""
        return cls(mask_choice, support_dice=0.0, stability=0.0, agreement=0.0, largest_box=1.0, coarse_weight=0.0)

    def __post_init__(self):
        check_kind(self, "mask_choice", MaskChoice)
        check_numbers(self, "support_dice", "stability", "agreement", "largest_box", least=0, most=1)
        check_numbers(self, "coarse_weight", least=0)


@dataclass(frozen=True)
class Turn:
    """Mirroring left to right, then a rotation counter-clockwise.

    Attributes:
        quarters: number of turns by 90 degrees, which are exact.
        mirrored: mirror first.
        degrees: further angle. Pixels are interpolated, and pixels from outside the image copy its border.
    """

    quarters: int = 0
    mirrored: bool = False
    degrees: float = 0.0

    def __post_init__(self):
        check_numbers(self, "quarters", whole=True)
        check_numbers(self, "degrees")


@dataclass(frozen=True)
class ProtoSAMConfig:
    """All options of ProtoSAM.

    The defaults were chosen with LiteMedSAM on training sets, none of them held out. The effect of each option alone is
    in `experiments/results/protosam_choices.md`.

    Attributes:
        alp: prototypes.
        stages: weights of the last stages of SAM's image encoder in the similarity of two features, the last stage
            last. None is `STAGES`, or its end for an encoder with fewer stages.
        standardise: with features of a DINOv2 (`universeg_jax.protosam(features=...)`), scale each image by its own
            mean and standard deviation, as the released code does with CT and MR.
        linear: classifier added to the prototypes; None (released code) omits it.
        components: connected components to keep.
        prompts: prompts for the decoder.
        refinement: rules for the decoder's masks; None gives coarse masks only.
        countless: largest number of components in one support mask of an ordinary class. A class with more may be
            anywhere and in any number, as cells are: positions have no weight, and all components are kept.
        nearest: support entries whose prototypes each target is compared with, the most similar ones by thumbnails.
            None (released code) takes all of them. The classifier is fitted to all, at most 16.
        turns: turns of support and targets whose coarse logits are averaged. Each costs as much as the first.
    """

    alp: ALPConfig = field(default_factory=ALPConfig)
    stages: tuple[float, ...] | None = None
    standardise: bool = False
    linear: LinearConfig | None = field(default_factory=LinearConfig)
    components: ComponentsConfig = field(default_factory=ComponentsConfig)
    prompts: PromptsConfig = field(default_factory=PromptsConfig)
    refinement: RefinementConfig | None = field(default_factory=RefinementConfig)
    countless: int = 4
    nearest: int | None = 2
    turns: tuple[Turn, ...] = (Turn(),)

    def __post_init__(self):
        for name, kind in (("alp", ALPConfig), ("components", ComponentsConfig), ("prompts", PromptsConfig)):
            check_kind(self, name, kind)
        for name, kind in (("linear", LinearConfig), ("refinement", RefinementConfig)):
            if getattr(self, name) is not None:
                check_kind(self, name, kind)
        if self.stages is not None:
            check_tuple(self, "stages", least=0)
            if not self.stages or self.stages[-1] == 0:
                raise InputError(f"stages={self.stages}: give a weight for each stage, and a positive one for the last")
        if not self.turns:
            raise InputError("turns is empty: pass (Turn(),) for images without any turn")
        if not isinstance(self.turns, tuple) or not all(isinstance(turn, Turn) for turn in self.turns):
            raise InputError(f"turns={self.turns!r}: pass a tuple of Turn")
        check_numbers(self, "countless", least=0, whole=True)
        if self.nearest is not None:
            check_numbers(self, "nearest", least=1, whole=True)

    @classmethod
    def upstream(cls) -> "ProtoSAMConfig":
        """Options of run_protosam.sh in the released code: all components, and mask 1 of each.

        That script uses DO_CCA=True in a folder name only; `Keep.MOST_CONFIDENT` with `MaskChoice.SINGLE` is what
        do_cca=True would do. Use the networks of that script with these options:
        `universeg_jax.protosam("sam-vit-h", features="dinov2-vitl14", config=ProtoSAMConfig.upstream())`.

        Three steps differ from the released code. Images keep their aspect and are padded by their border. Each image
        is scaled by itself, not by its volume. Probabilities, not masks, are resized to the size of the image.
        """
        return cls(
            alp=ALPConfig(
                purity=0.95, foreground_grid=8, label_sampling=LabelSampling.NEAREST, position_weight=0.0, joint=False
            ),
            stages=(1.0,),
            standardise=True,
            linear=None,
            components=ComponentsConfig(keep=Keep.ALL, at_most=1024),
            prompts=PromptsConfig(box_margin=0.0, confident_points=1, centroid=True),
            refinement=RefinementConfig.always(MaskChoice.FIRST_OF_THREE),
            nearest=None,
        )

    @classmethod
    def coarse(cls) -> "ProtoSAMConfig":
        """Coarse masks only, without the decoder."""
        return cls(refinement=None)

"""What ProtoSAM does, as choices.

`ProtoSAMConfig()` is what measured best on tasks of many kinds, `ProtoSAMConfig.upstream()` the released code.
"""

from dataclasses import dataclass, field
from enum import Enum, auto

from universeg_jax.errors import InputError
from universeg_jax.util.checks import check_kind, check_numbers, check_tuple

STAGES = (0.1, 0.2, 0.7)  # `ProtoSAMConfig.stages` where none are given


class LabelSampling(Enum):
    """How labels are brought to the resolution of the features."""

    AREA = auto()  # soft: the fraction of a feature's pixel that is foreground
    NEAREST = auto()  # the label of one pixel, as upstream; thin structures fall through


class Keep(Enum):
    """Which connected components of the coarse mask are kept."""

    ALL = auto()
    MOST_CONFIDENT = auto()  # one, that with the largest sum of probabilities
    AS_SUPPORT = auto()  # the most confident ones, as many as the masks of the support have


class MaskChoice(Enum):
    """Which of the decoder's four masks is taken: 0 is meant for clear prompts, 1 to 3 for ambiguous ones."""

    SINGLE = auto()  # mask 0
    FIRST_OF_THREE = auto()  # mask 1, whatever its predicted IoU
    BEST_OF_THREE = auto()  # of masks 1 to 3 that of the highest predicted IoU
    BEST_OF_FOUR = auto()
    UNION_OF_THREE = auto()  # masks 1 to 3 together


class MaskPrompt(Enum):
    """What the decoder is told of the coarse mask beside boxes and points."""

    NONE = auto()
    BINARY = auto()  # upstream's constants, 10 inside of the component and -8 outside
    LOGITS = auto()  # the coarse logits, negative outside of the component


@dataclass(frozen=True)
class ALPConfig:
    """Prototypes (`alp.py`).

    Attributes:
        window: side of a cell in features (2, validation of the released code).
        purity: a cell is a prototype if more than this fraction of it is of one class. 0.75 takes in cells that the
            outline touches, and with them most of what is a few features wide; ALPNet has 0.95.
        scale: of cosines, before the softmax (20, ALPNet).
        foreground_grid: local prototypes of the foreground are used for a support entry only if, with the features in
            about `foreground_grid` blocks a side, one block is wholly foreground (8, ALPNet); otherwise only its
            global one. None uses every pure cell.
        label_sampling: of labels at the resolution of features.
        position_weight: of the squared distance between a pixel and where a prototype comes from, half an image being
            1; it is taken from their similarity. It helps where images are taken in one way, as medical ones often
            are. 0 (ALPNet) is for structures that may be anywhere.
    """

    window: int = 2
    purity: float = 0.75
    scale: float = 20.0
    foreground_grid: int | None = None
    label_sampling: LabelSampling = LabelSampling.AREA
    position_weight: float = 1.0

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
    """A linear classifier beside the prototypes (`linear.py`).

    Attributes:
        weight: of its scores, which are about 1 and -1, in the coarse logits.
        ridge: of its squared weights, against the mean square of what it sees.
        position: factor of the position's terms; 0 lets it see none.
    """

    weight: float = 1.0
    ridge: float = 0.1
    position: float = 0.3

    def __post_init__(self):
        check_numbers(self, "weight", "position", least=0)
        check_numbers(self, "ridge", above=0)


@dataclass(frozen=True)
class ComponentsConfig:
    """Connected components of the coarse mask (`components.py`), which is found at a probability of 0.5.

    Attributes:
        keep: which ones.
        smallest: fraction of the largest component's area; smaller ones are neither kept nor counted.
        at_most: prompts for an image, the most confident components; the coarse mask stays as it is in the others.
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
    """What the decoder is asked for each component (`prompts.py`).

    Attributes:
        box: its bounding box.
        box_margin: what the box is widened by on each side, as a fraction of the image.
        confident_points: number of positive points, its pixels of highest probability.
        centroid: a positive point at its centroid, which lies outside of some concave ones.
        global_negative: a negative point, the most confident background pixel of the image.
        local_negative: a negative point, the most confident background pixel of a ring around it.
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
        """Points of a prompt."""
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
    """When the decoder's mask replaces the coarse one, and how far.

    On average over kinds of tasks the decoder neither gains nor loses: on 19 training sets Dice is 0.443 with these
    defaults and 0.444 without a decoder, 0.382 where its masks are always taken
    (`experiments/results/protosam_choices.md`).

    Attributes:
        mask_choice: which of the decoder's masks is taken.
        support_dice: classes whose support the decoder reproduces from the boxes of its true masks with a Dice below
            this stay coarse: what the decoder cannot draw from perfect boxes it will not draw from coarse ones. 0
            refines always.
        stability: components that the decoder is not sure of stay coarse: those of whose mask at logits above -2 less
            than this fraction is above 2 (SAM's stability score).
        agreement: components whose refined mask has an IoU below this with the coarse one stay coarse.
        largest_box: components whose box is larger than this fraction of the image stay coarse: such a box says
            nothing.
        coarse_weight: of the coarse logits in the mean with the refined ones, which have weight 1.
    """

    mask_choice: MaskChoice = MaskChoice.SINGLE
    support_dice: float = 0.8
    stability: float = 0.7
    agreement: float = 0.5
    largest_box: float = 0.9
    coarse_weight: float = 1.0

    @classmethod
    def always(cls, mask_choice: MaskChoice = MaskChoice.SINGLE) -> "RefinementConfig":
        """The decoder's mask of every component, alone."""
        return cls(mask_choice, support_dice=0.0, stability=0.0, agreement=0.0, largest_box=1.0, coarse_weight=0.0)

    def __post_init__(self):
        check_kind(self, "mask_choice", MaskChoice)
        check_numbers(self, "support_dice", "stability", "agreement", "largest_box", least=0, most=1)
        check_numbers(self, "coarse_weight", least=0)


@dataclass(frozen=True)
class Turn:
    """A mirroring left to right, then a rotation counter-clockwise: the symmetries of a square, or any angle.

    Attributes:
        quarters: turns of 90 degrees, which lose nothing.
        mirrored: whether to mirror.
        degrees: beside the quarters. Pixels are interpolated, and those turned in from outside of the image are
            copies of its border.
    """

    quarters: int = 0
    mirrored: bool = False
    degrees: float = 0.0

    def __post_init__(self):
        check_numbers(self, "quarters", whole=True)
        check_numbers(self, "degrees")


@dataclass(frozen=True)
class ProtoSAMConfig:
    """Everything ProtoSAM decides.

    The defaults were chosen with LiteMedSAM on training sets of medical images, none of them held out. What each of
    them changes alone is in `experiments/results/protosam_choices.md`, on 19 of those sets: coarse Dice falls by 0.025
    with the last stage only, by 0.02 with another scale, by 0.013 without the classifier, the last within the chance of
    so few sets, as is most of what the others do. Averaging with mirrored images (`turns`) would gain 0.010 [-0.001,
    0.023] at twice the time.

    Attributes:
        alp, components, prompts, refinement: its four steps; refinement None gives coarse masks only.
        stages: weights of the last stages of SAM's image encoder in the similarity of two features, the last stage
            last; no more than it has. None gives the last three 0.1, 0.2 and 0.7, as far as there are so many:
            encoders without stages have one.
        standardise: where the features are a DINOv2's (`universeg_jax.protosam(features=...)`), it sees each image by
            its own mean and standard deviation, as the released code has it with CT and MR; False takes the colours
            that DINOv2 was trained with.
        linear: a classifier whose scores are added to those of the prototypes; None (released code) has none.
        countless: a class of which one mask of the support has more components than this is taken for structures that
            are anywhere in any number, such as cells: positions have no weight, and all components are kept.
        turns: support and targets are turned by each of these, and the coarse logits are averaged; each costs as much
            as the first.
    """

    alp: ALPConfig = field(default_factory=ALPConfig)
    stages: tuple[float, ...] | None = None
    standardise: bool = False
    linear: LinearConfig | None = field(default_factory=LinearConfig)
    components: ComponentsConfig = field(default_factory=ComponentsConfig)
    prompts: PromptsConfig = field(default_factory=PromptsConfig)
    refinement: RefinementConfig | None = field(default_factory=RefinementConfig)
    countless: int = 4
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
            raise InputError("turns is empty: pass (Turn(),) for images as they are")
        if not isinstance(self.turns, tuple) or not all(isinstance(turn, Turn) for turn in self.turns):
            raise InputError(f"turns={self.turns!r}: pass a tuple of Turn")
        check_numbers(self, "countless", least=0, whole=True)

    @classmethod
    def upstream(cls) -> "ProtoSAMConfig":
        """What run_protosam.sh of the released code runs: all components, mask 1 of each, no look at the support.

        The name DO_CCA=True in that script goes no further than a folder name; `Keep.MOST_CONFIDENT` with
        `MaskChoice.SINGLE` is what do_cca=True would do. It is to go with the networks of that script, as in
        `universeg_jax.protosam("sam-vit-h", features="dinov2-vitl14", config=ProtoSAMConfig.upstream())`. Three things
        stay as they are here: images keep their aspect, and are filled up by their border; they are scaled one by one,
        not by the volume they are of; and probabilities come to the image's size before the threshold, not masks.
        """
        return cls(
            alp=ALPConfig(purity=0.95, foreground_grid=8, label_sampling=LabelSampling.NEAREST, position_weight=0.0),
            stages=(1.0,),
            standardise=True,
            linear=None,
            components=ComponentsConfig(keep=Keep.ALL, at_most=1024),
            prompts=PromptsConfig(box_margin=0.0, confident_points=1, centroid=True),
            refinement=RefinementConfig.always(MaskChoice.FIRST_OF_THREE),
        )

    @classmethod
    def coarse(cls) -> "ProtoSAMConfig":
        """Prototypes only."""
        return cls(refinement=None)

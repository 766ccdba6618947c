"""Packages that a prediction with UniverSeg must not wait for."""

import subprocess
import sys

SLOW = ("matplotlib", "nibabel", "pydicom", "scipy", "universeg_jax.models.protosam")
CODE = f"""
import sys
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.weights import load
print(*[name for name in {SLOW!r} if name in sys.modules])
"""


def test_a_segmenter_imports_no_package_that_it_does_not_use():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []

import platform
import subprocess
import sys

import pytest

CODE = """
import numpy as np
from universeg_jax.backend import return_freed_arrays

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

if {setting}:
    return_freed_arrays()
np.ones(2**21)  # glibc keeps arrays up to this size from now on
pairs = [(np.ones(2**17), np.ones(2**12)) for _ in range(64)]
small = [pair[1] for pair in pairs]  # they stay, so that no large piece is free at the end of the heap
full = resident()
del pairs
print(full - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
@pytest.mark.parametrize("setting", [False, True])
def test_freed_arrays_are_returned(setting):
    run = [sys.executable, "-c", CODE.format(setting=setting)]
    returned = int(subprocess.run(run, check=True, capture_output=True, text=True).stdout)
    assert (returned > 60 * 2**20) == setting

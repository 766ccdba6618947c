"""Describe the machine and the versions of a measurement."""

import importlib.metadata
import platform
from pathlib import Path

from experiments.benchmark.sides import processors

PACKAGES = ("jax", "jaxlib", "flax", "numpy", "torch")


def machine() -> dict:
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    import jax

    devices = sorted({f"{device.platform}: {device.device_kind}" for device in jax.devices()})
    return {
        "processor": _processor(),
        "cores": processors(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "devices": devices,
        "versions": versions,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    widest = next((flag for flag in ("avx512f", "avx2", "avx") if flag in flags), "")
    return f"{name} {widest}".strip()

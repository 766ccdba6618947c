"""What is kept between runs: downloaded weights, and compiled code."""

import os
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """Where it is kept: $UNIVERSEG_JAX_CACHE, or the user's cache folder."""
    return Path(os.environ.get("UNIVERSEG_JAX_CACHE") or platformdirs.user_cache_dir("universeg-jax"))


def keep_compiled_code() -> None:
    """Let JAX keep what it compiles, at most a gigabyte of it; before JAX is imported.

    Compiling takes much of the time of a short run. Where JAX's own variable names a folder, nothing is changed:
    another limit would harm what is in it. Where the folder cannot be made, nothing is kept.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    folder = cache_folder() / "compiled"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(2**30))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")

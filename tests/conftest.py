import os

# Small networks run a few times. Compiling them is most of the time, and a third shorter without optimisation by LLVM.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import jax

# Before anything touches a device: four CPU devices for the tests of sharding, and float32 products in full.
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_default_matmul_precision", "highest")

import jax

# Before anything touches a device: four CPU devices for the tests of sharding, and float32 products in full.
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_default_matmul_precision", "highest")

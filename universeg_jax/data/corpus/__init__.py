"""Prepared datasets: prepare, store, describe, select and read them."""

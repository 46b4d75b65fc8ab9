"""Toy models of superposition: features, models, training dynamics and geometry, in JAX."""

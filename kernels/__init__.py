"""Derivations compiled: readable Numba modules for the forward and the backward pass."""

"""Sampled packet headers, readable and as column kernels."""

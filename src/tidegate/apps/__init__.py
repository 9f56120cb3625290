"""Composition roots: build the parts, join them, run them."""

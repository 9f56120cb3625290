"""sFlow version 5, readable and as column kernels."""

"""Switches that the books' scripts set before they import anything else."""

GPU: bool = False
"""True: `scratchnet.np` hands on CuPy's names, and the networks of `scratchnet.models` are made on the GPU."""

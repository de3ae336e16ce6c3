"""Switches that the books' scripts set before they import anything else."""

GPU: bool = False
"""True: `np` is CuPy in `scratchnet.np` and in what `scratchnet.book2` re-exports, and the networks of
`scratchnet.models` are created on the GPU.
"""

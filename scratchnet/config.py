"""Switches that the books' scripts set before they import anything else."""

GPU: bool = False
"""True: `np` is CuPy in `scratchnet.np` and in what `scratchnet.book2` passes on, and the networks of
`scratchnet.models` are made on the GPU.
"""

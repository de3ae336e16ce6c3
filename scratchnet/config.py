"""Switches that the books' scripts set before they import anything else."""

GPU: bool = False

"""Book 2's switch for the GPU."""

GPU = False

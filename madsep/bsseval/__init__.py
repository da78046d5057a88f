"""An exact and fast BSSEval v4."""

"""What a network does to magnitudes, as matrices: the neural couplings algorithm, local Jacobians, and measures of both."""

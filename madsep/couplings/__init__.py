"""Matrices that describe what a network does to magnitudes: neural couplings, local Jacobians, and measures of both."""

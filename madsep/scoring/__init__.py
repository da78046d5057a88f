"""Scores of estimates, and their medians."""

"""Scores of estimates and their averages."""

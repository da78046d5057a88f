"""Figures of a comparison of systems: boxes over tracks, and the matrix of paired tests."""

from madsep.compare_figures.boxplots import draw_boxplots
from madsep.compare_figures.pairwise import draw_pairwise

__all__ = ["draw_boxplots", "draw_pairwise"]

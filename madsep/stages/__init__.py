"""The stages of a benchmark run; they never import each other and meet in files that the workflow names."""

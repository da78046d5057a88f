"""The Python side of the Snakemake workflow: config, plan, messages and cluster of a run."""

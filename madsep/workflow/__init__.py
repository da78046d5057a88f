"""What the Snakemake workflow asks: the plan of a run, its config, its cluster."""

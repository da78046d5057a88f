"""A submission to SiSEC: its description, its files, its check."""

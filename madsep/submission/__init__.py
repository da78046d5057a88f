"""Write, check and export submissions to SiSEC."""

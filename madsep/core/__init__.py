"""Code that every other folder uses: errors, files, logs, settings, devices."""

"""What every other room uses: errors, files, logs, settings, devices."""

"""Data sets on disk: finding, reading, checking and preparing their tracks."""

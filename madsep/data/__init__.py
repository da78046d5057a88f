"""Data sets on disk: finding, reading, checking and preparing tracks."""

"""Systems, each described by a YAML recipe in recipes/, and the code that reads and checks recipes."""

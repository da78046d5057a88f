"""Systems are data: one YAML recipe each in recipes/; what a recipe may say, and how it is read."""

"""A page that plays the estimates of systems next to their frame-wise scores."""

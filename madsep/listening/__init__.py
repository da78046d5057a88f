"""A page to listen to what systems estimate, next to their scores frame by frame."""

"""The one exception for what a user can cause and mend."""


class InputError(ValueError):
    """Something given from outside is wrong; the message says what, where, what was expected and what to do.

    The command line and the workflow print the message alone, without a traceback, and end with a non-zero status.
    """

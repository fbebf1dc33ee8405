"""The one error of the labram commands that a user can mend; the command line prints it without a traceback."""


class LabramError(Exception):
    """What failed, in which file or key, what was expected and found, and one action."""

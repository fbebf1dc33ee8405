"""The two ways in which a command ends early; a recording that cannot be ingested is neither."""


class UsageError(Exception):
    """What was asked for cannot be done (exit code 2): the message says what was expected, found, and what to do."""


class StoppedError(Exception):
    """The work had to stop midway (exit code 1): the store is valid, and the same command goes on."""

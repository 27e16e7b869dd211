"""The one exception that commands turn into one line and exit code 2."""


class InputError(ValueError):
    """What the user gave is at fault: a file, a dataset in it, an option.

    The message is one line that names the file and dataset (or the option), what was expected, what was found and
    what to do. Commands print it and exit with code 2; from Python it is an ordinary ValueError.
    """


class NotBuiltError(ImportError):
    """The compiled kernels are missing: what to do, in one line. Commands print it and exit with code 2."""

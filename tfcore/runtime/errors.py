"""The exceptions that a user sees as a single line."""


class UserError(Exception):
    """Bad input, with a message that names the file, key or step and says what to do.

    The command line prints it as one line and exits with ``exit_code``; a notebook sees an ordinary exception.
    """

    exit_code = 1


class SettingsError(UserError):
    """A setting that is unknown, of the wrong type or out of range; names the key and the file."""

    exit_code = 2


class InterruptedTraining(UserError):
    """Training was asked to stop and has saved its state, if it had one; the same command continues it."""

    exit_code = 75  # EX_TEMPFAIL: not zero, so Snakemake retries the job and the retry resumes

"""Command line: one thin command per stage, grouped by file; each calls a plain function."""

import sys

import typer

from tfcore.runtime.errors import UserError

app = typer.Typer(
    name="tfcore",
    help="TransFusion benchmark: every stage of the pipeline as a command.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line; what the user can mend becomes one line on stderr and an exit code."""
    # Each module registers its commands on `app`; stages import torch only when they run.
    from tfcore.cli import bench, data, operations, report, run, score  # noqa: F401

    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:  # a file that cannot be read or written; a broken pipe ends in typer
        reason = " ".join((error.strerror or str(error)).split())
        print(f"error: {reason}" if error.filename is None else f"error: {error.filename}: {reason}", file=sys.stderr)
        sys.exit(1)
    except UnicodeDecodeError as error:
        print(f"error: a file that was read is not UTF-8 text: {error}", file=sys.stderr)
        sys.exit(1)

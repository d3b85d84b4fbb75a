"""Command line: one thin command per stage, grouped by file; each calls a plain function."""

import sys

import typer

from tfcore.errors import UserError

app = typer.Typer(
    name="tfcore",
    help="TransFusion benchmark: every stage of the pipeline as a command.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line; a `UserError` becomes one line on stderr and its exit code."""
    # Each module registers its commands on `app`; stages import torch only when they run.
    from tfcore.cli import bench, data, method, page, plan, report, score  # noqa: F401

    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)

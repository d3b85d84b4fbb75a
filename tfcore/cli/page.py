"""Commands that write pages: the report and the settings page of the documentation."""

from pathlib import Path
from typing import Annotated

import typer

from tfcore.cli import app
from tfcore.cli.options import DEFAULT_PARAMS, Params


@app.command("settings-doc")
def settings_doc(
    params: Params = DEFAULT_PARAMS,
    out: Annotated[Path, typer.Option(help="Markdown file to write.")] = Path("docs/settings.md"),
) -> None:
    """Write the settings page of the documentation from the settings models."""
    from tfcore.config import load_settings
    from tfcore.files import write_text
    from tfcore.settings_doc import settings_page

    write_text(out, settings_page(load_settings(*params)))

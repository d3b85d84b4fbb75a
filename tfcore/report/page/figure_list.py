"""The figures of a results folder as the report page shows them."""

import os
from itertools import product
from pathlib import Path

from PIL import Image

from tfcore.report.page.examples import encode
from tfcore.runtime.errors import UserError
from tfcore.settings.variants import Settings

LIMIT = 2_000_000  # bytes; figures beyond are linked
PER_DATASET, PER_CATEGORY = ("reconstructions", "examples", "failures"), ("anomalies", "foregrounds")


def page_figures(folder: Path, settings: Settings, out: Path) -> list[dict[str, str]]:
    """Return title, picture (a data URI, empty beyond the limit) and links of each of the settings' figures here.

    Other files in the folder are left out: those of datasets that are no longer selected would pass for current ones.
    """
    found, total = [], 0
    for name, title in figure_names(settings).items():
        file = folder / f"{name}.png"
        if not file.exists():
            continue
        link = f"{relative(folder, out)}/{name}.png"
        source = _picture(file) if total < LIMIT else ""
        total += len(source)
        vector = link.removesuffix(".png") + ".svg" if file.with_suffix(".svg").exists() else ""
        found.append({"title": title, "source": source, "link": link, "vector": vector})
    return found


def figure_names(settings: Settings) -> dict[str, str]:
    """Return the names and titles of the figures that the workflow makes of these settings, in the page's order."""
    datasets = [(name, settings.datasets[name]) for name in settings.run.datasets]
    names = {"reverse_process": "Reverse process"}
    for kind, (name, entry) in product(PER_DATASET, datasets):
        names[f"{kind}_{name}"] = f"{kind.capitalize()} · {entry.title}"
    for kind, (name, entry) in product(PER_CATEGORY, datasets):
        for category in entry.categories:
            names[f"{kind}/{name}_{category}"] = f"{kind.capitalize()} · {entry.title} · {category.replace('_', ' ')}"
    names |= {"lambda_sweep": "Lambda sweep", "kernel_sweep": "Kernel sweep"}
    return names | {f"losses_{name}": f"Losses · {entry.title}" for name, entry in datasets}


def relative(path: Path, out: Path) -> str:
    """Return how the page ``out`` refers to ``path``."""
    return Path(os.path.relpath(path, out.parent)).as_posix()


def _picture(file: Path) -> str:
    try:
        with Image.open(file) as picture:
            return encode(picture.convert("RGB"), 1200, quality=70)
    except OSError as error:
        raise UserError(f"{file}: cannot be read as a picture; make the figures again") from error

"""The figures of a results folder as the report page shows them."""

import os
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
    return (
        {"reverse_process": "Reverse process"}
        | {f"{kind}_{name}": _title(kind, entry.title) for kind in PER_DATASET for name, entry in datasets}
        | {
            f"{kind}/{name}_{category}": _title(kind, entry.title, category)
            for kind in PER_CATEGORY
            for name, entry in datasets
            for category in entry.categories
        }
        | {"lambda_sweep": "Lambda sweep", "kernel_sweep": "Kernel sweep"}
        | {f"losses_{name}": _title("losses", entry.title) for name, entry in datasets}
    )


def relative(path: Path, out: Path) -> str:
    """Return how the page ``out`` refers to ``path``."""
    return Path(os.path.relpath(path, out.parent)).as_posix()


def _title(kind: str, dataset: str, category: str = "") -> str:
    words = [kind.capitalize(), dataset, category.replace("_", " ")]
    return " · ".join(word for word in words if word)


def _picture(file: Path, width: int = 1200) -> str:
    try:
        with Image.open(file) as picture:
            picture.load()
            small = picture.convert("RGB")
    except OSError as error:
        raise UserError(f"{file}: cannot be read as a picture; make the figures again") from error
    if small.width > width:
        small = small.resize((width, round(small.height * width / small.width)), Image.Resampling.LANCZOS)
    return encode(small, quality=70)

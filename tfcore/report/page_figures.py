"""The figures of a results folder as the report page shows them."""

import os
from pathlib import Path

from PIL import Image

from tfcore.config import Settings
from tfcore.errors import UserError
from tfcore.report.examples import encode

LIMIT = 2_000_000  # bytes; figures beyond are linked
KINDS = (
    *("reverse_process", "reconstructions", "examples", "failures", "anomalies", "foregrounds"),
    *("lambda_sweep", "kernel_sweep", "losses"),
)


def page_figures(folder: Path, settings: Settings, out: Path) -> list[dict[str, str]]:
    """Return title, picture (a data URI, empty beyond the limit) and links of each figure: known kinds first."""
    found, total = [], 0
    for file in sorted(folder.rglob("*.png"), key=lambda file: (_place(file, folder), file)):
        link = f"{relative(folder, out)}/{file.relative_to(folder).as_posix()}"
        source = _picture(file) if total < LIMIT else ""
        total += len(source)
        vector = link.removesuffix(".png") + ".svg" if file.with_suffix(".svg").exists() else ""
        found.append({"title": _title(file, folder, settings), "source": source, "link": link, "vector": vector})
    return found


def relative(path: Path, out: Path) -> str:
    """Return how the page ``out`` refers to ``path``."""
    return Path(os.path.relpath(path, out.parent)).as_posix()


def _kind(file: Path, folder: Path) -> str:
    name = file.relative_to(folder).as_posix()
    return next((kind for kind in KINDS if name.startswith(kind)), "")


def _place(file: Path, folder: Path) -> int:
    kind = _kind(file, folder)
    return KINDS.index(kind) if kind else len(KINDS)


def _title(file: Path, folder: Path, settings: Settings) -> str:
    """Return words for a figure's name: its kind, the dataset's title, the category."""
    kind = _kind(file, folder)
    rest = file.relative_to(folder).with_suffix("").as_posix().removeprefix(kind).strip("_/")
    dataset = next((name for name in settings.datasets if rest == name or rest.startswith(f"{name}_")), "")
    title = settings.datasets[dataset].title if dataset else ""
    words = [kind, title, rest.removeprefix(dataset).strip("_")]
    text = " · ".join(word.replace("_", " ") for word in words if word)
    return text[:1].upper() + text[1:]


def _picture(file: Path, width: int = 1200) -> str:
    try:
        with Image.open(file) as picture:
            picture.load()
            small = picture.convert("RGB")
    except OSError as error:
        raise UserError(f"{file}: cannot be read as a picture; make the figures anew") from error
    if small.width > width:
        small = small.resize((width, round(small.height * width / small.width)), Image.Resampling.LANCZOS)
    return encode(small, quality=70)

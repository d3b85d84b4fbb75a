"""Tables by category: 1 and 2 (image AUROC), 6 and 7 (AUPRO), 8 and 9 (best epoch), and of any further dataset."""

from dataclasses import dataclass

from tfcore.metrics.gather import AVERAGE
from tfcore.paper.numbers import paper, paper_names, release
from tfcore.report.measured import METRICS, Measured, Source
from tfcore.report.table import Cell, Table, ranked
from tfcore.report.tables.published_cells import (
    RELEASE_NOTE,
    difference,
    notes_for,
    published_cell,
    runs_note,
)
from tfcore.runs.needed import dataset_for
from tfcore.settings.variants import Settings, resolve

# Number of the table: the paper's dataset, metric here, metric there, caption.
BY_CATEGORY = {
    1: ("VisA", "image_auroc", "Image AUROC", "Image AUROC (%) by category"),
    2: ("MVTec AD", "image_auroc", "Image AUROC", "Image AUROC (%) by category"),
    6: ("VisA", "aupro", "AUPRO", "AUPRO (%) by category"),
    7: ("MVTec AD", "aupro", "AUPRO", "AUPRO (%) by category"),
}
BY_EPOCH = {8: "VisA", 9: "MVTec AD"}
TUNED = "TransFusion (epochs tuned per class)"

_Rows = list[list[Cell | str]]


@dataclass(frozen=True)
class Place:
    """What a numbered table shows: our dataset, if any, in the place of the paper's."""

    number: int
    published: str
    dataset: str | None
    from_paper: bool  # with the published numbers
    title: str


def place_for(number: int, published: str, settings: Settings) -> Place:
    """Return the place of a numbered table that the paper has for its dataset ``published``."""
    dataset = dataset_for(settings, published)
    if dataset is None:
        return Place(number, published, None, True, published)
    entry = settings.datasets[dataset]
    return Place(number, published, dataset, entry.published == published, entry.title)


def category_table(number: int, measured: Measured) -> Table:
    """Make Table 1, 2, 6 or 7: published methods, the authors' release, measured, and the differences."""
    published, metric, _, caption = BY_CATEGORY[number]
    place = place_for(number, published, measured.settings)
    methods = paper_names(f"Table {number}", "method") if place.from_paper else []
    sources = measured.sources() if place.dataset else []
    columns = [("", "Category"), *(("Published", name) for name in methods)]
    columns += [("Release", "TransFusion")] if place.from_paper else []
    columns += [("Measured", name) for name, _ in sources]
    if place.from_paper and sources:
        columns += [("Measured − published", "paper"), ("Measured − published", "release")]
    rows: _Rows = []
    for category in [*_categories(measured, place), AVERAGE]:
        there = _published_cells(place, category, methods)
        here = [_measured_cell(measured, str(place.dataset), category, metric, source) for _, source in sources]
        differences = _differences(measured, place, category, here, there) if place.from_paper and sources else []
        rows.append([category, *there, *ranked(here), *differences])
    release_notes = [RELEASE_NOTE] if place.from_paper and metric == "aupro" else []
    notes = [*notes_for(rows), *release_notes, *_category_notes(measured, place.dataset, sources)]
    title = f"{caption}: {place.title}"
    return Table(f"table{number}", title, columns, rows, notes, [len(rows) - 1])


def _published_cells(place: Place, category: str, methods: list[str]) -> list[Cell]:
    """Return the paper's methods, ranked, and the authors' release last; nothing for a dataset of one's own."""
    if not place.from_paper:
        return []
    _, metric, metric_there, _ = BY_CATEGORY[place.number]
    table = f"Table {place.number}"
    cells = [published_cell(paper(table, place.published, category, name, metric_there)) for name in methods]
    return [*ranked(cells), published_cell(release(place.published, category, metric))]


def _differences(measured: Measured, place: Place, category: str, here: list[Cell], there: list[Cell]) -> list[Cell]:
    """Return measured minus TransFusion's published number, and minus the release's."""
    if category == AVERAGE and not measured.covers_paper(str(place.dataset)):
        return [Cell(), Cell()]
    return [difference(here[0], published) for published in there[-2:]]


def _category_notes(measured: Measured, dataset: str | None, sources: list[tuple[str, Source]]) -> list[str]:
    if dataset is None:
        return ["The dataset is not part of this benchmark (run.datasets): nothing is measured."]
    return [runs_note(measured, [dataset], [source for _, source in sources])]


def _categories(measured: Measured, place: Place) -> list[str]:
    """Return the categories in the paper's order, then those that the paper does not have."""
    names: list[str] = []
    if place.from_paper:
        names = [name for name in paper_names(f"Table {place.number}", "category") if name != AVERAGE]
    if place.dataset is None:
        return names
    covered = measured.categories(place.dataset)
    return [name for name in names if name in covered] + [name for name in covered if name not in names]


def _measured_cell(measured: Measured, dataset: str, category: str, metric: str, source: Source) -> Cell:
    if category == AVERAGE:
        return measured.average(dataset, metric, source)
    return measured.category(dataset, category, metric, source)


def dataset_table(dataset: str, measured: Measured) -> Table:
    """Make the table of a dataset that the paper does not have: image AUROC and AUPRO by category."""
    sources = measured.sources()
    columns = [("", "Category"), *((metric.title, name) for metric in METRICS for name, _ in sources)]
    rows: _Rows = []
    for category in [*measured.categories(dataset), AVERAGE]:
        row: list[Cell | str] = [category]
        for metric in METRICS:
            row += ranked([_measured_cell(measured, dataset, category, metric.name, source) for _, source in sources])
        rows.append(row)
    title = f"Image AUROC and AUPRO (%) by category: {measured.settings.datasets[dataset].title}"
    notes = [*notes_for(rows), *_category_notes(measured, dataset, sources)]
    return Table(f"table_{dataset}", title, columns, rows, notes, [len(rows) - 1])


def epoch_table(number: int, measured: Measured) -> Table:
    """Make Table 8 or 9: the best epoch of each category, chosen on the test set, beside the last one."""
    place = place_for(number, BY_EPOCH[number], measured.settings)
    points = measured.points("epoch=", Source(measured.settings.tables.baseline))
    tuned = "Measured, tuned on the test set"
    columns = [("", "Category")] + ([("Published", "Tuned")] if place.from_paper else [])
    columns += [("Measured", "Last epoch"), (tuned, "Best epoch"), (tuned, "Image AUROC")]
    rows = [_epoch_row(measured, place, category, points) for category in [*_categories(measured, place), AVERAGE]]
    notes = [
        "Tuned on the test set: the epoch is the one with the highest image AUROC on the test images themselves. "
        "It flatters, and no other table uses it.",
        *notes_for(rows),
        _epochs_note(measured.settings, points, place.dataset),
    ]
    title = f"Image AUROC (%) with the epoch tuned for each category: {place.title}"
    return Table(f"table{number}", title, columns, rows, notes, [len(rows) - 1])


def _epoch_row(measured: Measured, place: Place, category: str, points: list[str]) -> list[Cell | str]:
    there = [published_cell(paper(f"Table {place.number}", place.published, category, TUNED, "Image AUROC"))]
    last, epoch, best = Cell(), "", Cell()
    if place.dataset:
        last = _measured_cell(
            measured, place.dataset, category, "image_auroc", Source(measured.settings.tables.baseline)
        )
        if category == AVERAGE:
            best = tuned_average(measured, place.dataset)
        else:
            epoch, value = _best_epoch(measured, place.dataset, category, points)
            best = Cell(value)
    return [category, *(there if place.from_paper else []), last, epoch, best]


def _epochs_note(settings: Settings, points: list[str], dataset: str | None) -> str:
    if dataset is None:
        return "The dataset is not part of this benchmark (run.datasets): nothing is measured."
    if not points:
        return "No epoch but the last was evaluated; tables.checkpoint_epochs names those to keep and score."
    epochs = ", ".join(point.removeprefix("epoch=") for point in points)
    return f"Evaluated after epochs {epochs} and the last ({_last_epoch(settings)})."


def _last_epoch(settings: Settings) -> int:
    baseline = resolve(settings, settings.tables.baseline)
    return settings.known_methods[baseline.method].epochs(baseline.own)


def tuned_average(measured: Measured, dataset: str) -> Cell:
    """Return the average of each category's best image AUROC over epochs, marked (k/n) while incomplete."""
    points = measured.points("epoch=", Source(measured.settings.tables.baseline))
    categories = measured.categories(dataset)
    found = [_best_epoch(measured, dataset, category, points)[1] for category in categories]
    values = [value for value in found if value is not None]
    if not values:
        return Cell()
    count = f"{len(values)}/{len(categories)}"
    incomplete = len(values) < len(categories)
    return Cell(sum(values) / len(values), mark=f" ({count})" if incomplete else "", about=count if incomplete else "")


def _best_epoch(measured: Measured, dataset: str, category: str, points: list[str]) -> tuple[str, float | None]:
    """Return the epoch with the highest image AUROC (the earliest of equals) and the value; needs two or more."""
    baseline = measured.settings.tables.baseline
    candidates: list[tuple[float, int]] = []
    for point in [*points, "main"]:
        cell = measured.category(dataset, category, "image_auroc", Source(baseline, point))
        epoch = _last_epoch(measured.settings) if point == "main" else int(point.removeprefix("epoch="))
        if cell.value is not None:
            candidates.append((cell.value, -epoch))
    if len(candidates) < 2:
        return "", None
    value, epoch = max(candidates)
    return str(-epoch), value

"""Tables by category: 1 and 2 (image AUROC), 6 and 7 (AUPRO), 8 and 9 (best epoch), and of any further dataset."""

from dataclasses import dataclass

from tfcore.metrics.gather import AVERAGE
from tfcore.paper.numbers import paper, paper_names, release
from tfcore.report.measured import METRICS, Measured, ReportedMetric, Source, average_of
from tfcore.report.table import Cell, Table, ranked
from tfcore.report.tables.published_cells import RELEASE_NOTE, difference, notes_for, published_cell, runs_note
from tfcore.runs.needed import PLACES, dataset_for
from tfcore.settings.variants import resolve

DETECTION, LOCALISATION = METRICS
BY_CATEGORY = {1: DETECTION, 2: DETECTION, 6: LOCALISATION, 7: LOCALISATION}
TUNED = "TransFusion (epochs tuned per class)"
NOT_COVERED = "The dataset is not part of this benchmark (run.datasets): nothing is measured."

_Rows = list[list[Cell | str]]


@dataclass(frozen=True)
class Place:
    """What a table by category shows."""

    table: str  # in the paper
    published: str  # the paper's dataset
    dataset: str  # ours in its place; empty if there is none
    from_paper: bool  # with the published numbers
    title: str
    categories: list[str]  # in the paper's order, then those that the paper does not have


def place_for(number: int, measured: Measured) -> Place:
    """Return the place of a numbered table that the paper has for one of its datasets."""
    table, published = f"Table {number}", PLACES[number]
    dataset = dataset_for(measured.settings, published)
    names = [name for name in paper_names(table, "category") if name != AVERAGE]
    if dataset is None:
        return Place(table, published, "", True, published, names)
    from_paper, covered = measured.published_name(dataset) == published, measured.categories(dataset)
    order = [name for name in names if from_paper and name in covered]
    categories = list(dict.fromkeys([*order, *covered]))
    return Place(table, published, dataset, from_paper, measured.title(dataset), categories)


def category_table(number: int, measured: Measured) -> Table:
    """Make Table 1, 2, 6 or 7: published methods, the authors' release, measured, and the differences."""
    return _by_category(f"table{number}", place_for(number, measured), {"Measured": BY_CATEGORY[number]}, measured)


def dataset_table(dataset: str, measured: Measured) -> Table:
    """Make the table of a dataset that the paper does not have: image AUROC and AUPRO by category."""
    place = Place("", "", dataset, False, measured.title(dataset), measured.categories(dataset))
    return _by_category(f"table_{dataset}", place, {metric.title: metric for metric in METRICS}, measured)


def _by_category(name: str, place: Place, metrics: dict[str, ReportedMetric], measured: Measured) -> Table:
    """Make a table by category with a group of measured columns for each of ``metrics``; the paper's have one."""
    metric = next(iter(metrics.values()))
    methods = paper_names(place.table, "method") if place.from_paper else []
    sources = measured.sources() if place.dataset else []
    compared = ["paper", "release"] if place.from_paper and sources else []
    columns = [("", "Category"), *(("Published", method) for method in methods)]
    columns += [("Release", "TransFusion")] if place.from_paper else []
    columns += [(group, title) for group in metrics for title, _ in sources]
    columns += [("Measured − published", origin) for origin in compared]
    rows: _Rows = []
    for category in [*place.categories, AVERAGE]:
        row: list[Cell | str] = [category]
        if place.from_paper:
            cells = [paper(place.table, place.published, category, method, metric.title) for method in methods]
            printed = [published_cell(cell) for cell in cells]
            released = published_cell(release(place.published, category, metric.name))
            row += [*ranked(printed), released]
        for each in metrics.values():
            here = [measured.category(place.dataset, category, each.name, source) for _, source in sources]
            row += ranked(here)
        if compared:
            same = category != AVERAGE or measured.covers_paper(place.dataset)
            row += [difference(here[0], cell) if same else Cell() for cell in (printed[-1], released)]
        rows.append(row)
    release_notes = [RELEASE_NOTE] if place.from_paper and metric is LOCALISATION else []
    runs = runs_note(measured, [place.dataset], [source for _, source in sources]) if place.dataset else NOT_COVERED
    title = f"{' and '.join(each.title for each in metrics.values())} (%) by category: {place.title}"
    return Table(name, title, columns, rows, [*notes_for(rows), *release_notes, runs], [len(rows) - 1])


def epoch_table(number: int, measured: Measured) -> Table:
    """Make Table 8 or 9: the best epoch of each category, chosen on the test set, beside the last one."""
    place = place_for(number, measured)
    tuned = "Measured, tuned on the test set"
    columns = [("", "Category"), *([("Published", "Tuned")] if place.from_paper else [])]
    columns += [("Measured", "Last epoch"), (tuned, "Best epoch"), (tuned, "Image AUROC")]
    rows: _Rows = []
    for category in [*place.categories, AVERAGE]:
        there = published_cell(paper(place.table, place.published, category, TUNED, "Image AUROC"))
        last, epoch, best = Cell(), "", Cell()
        if place.dataset:
            last = measured.category(place.dataset, category, "image_auroc", measured.baseline)
            epoch, best = _best_epoch(measured, place.dataset, category)
        rows.append([category, *([there] if place.from_paper else []), last, epoch, best])
    notes = [
        "Tuned on the test set: the epoch is the one with the highest image AUROC on the test images themselves. "
        "It flatters, and no other table uses it.",
        *notes_for(rows),
        _epochs_note(measured) if place.dataset else NOT_COVERED,
    ]
    title = f"Image AUROC (%) with the epoch tuned for each category: {place.title}"
    return Table(f"table{number}", title, columns, rows, notes, [len(rows) - 1])


def _epochs_note(measured: Measured) -> str:
    *epochs, last = _epochs(measured).values()
    if not epochs:
        return "No epoch but the last was evaluated; tables.checkpoint_epochs names those to keep and score."
    return f"Evaluated after epochs {', '.join(map(str, epochs))} and the last ({last})."


def _epochs(measured: Measured) -> dict[str, int]:
    """Return the epochs that were evaluated, the last one at the end, by their sweep points."""
    baseline = resolve(measured.settings, measured.baseline.variant)
    points = measured.points("epoch=", measured.baseline)
    last = measured.settings.known_methods[baseline.method].epochs(baseline.own)
    return {point: int(point.removeprefix("epoch=")) for point in points} | {"main": last}


def tuned_average(measured: Measured, dataset: str) -> Cell:
    """Return the average of each category's best image AUROC over epochs, marked (k/n) while incomplete."""
    categories = measured.categories(dataset)
    return average_of([_best_epoch(measured, dataset, category)[1] for category in categories], len(categories))


def _best_epoch(measured: Measured, dataset: str, category: str) -> tuple[str, Cell]:
    """Return the epoch with the highest image AUROC (the earliest of equals) and the value; needs two or more."""
    if category == AVERAGE:
        return "", tuned_average(measured, dataset)
    candidates: list[tuple[float, int]] = []
    for point, epoch in _epochs(measured).items():
        cell = measured.category(dataset, category, "image_auroc", Source(measured.baseline.variant, point))
        if cell.value is not None:
            candidates.append((cell.value, -epoch))
    if len(candidates) < 2:
        return "", Cell()
    value, epoch = max(candidates)
    return str(-epoch), Cell(value)

"""Table 4: every ablation of the paper and every further variant, as differences to the full model."""

from dataclasses import dataclass, replace
from itertools import product

from tfcore.metrics.gather import AVERAGE
from tfcore.paper.numbers import paper
from tfcore.report.measured import METRICS, Measured, Source
from tfcore.report.table import Cell, Table, numbers_of, rules_between_groups
from tfcore.report.tables.published_cells import RANK_NOTE, notes_for, published_cell, runs_note

FULL = "TransFusion (full, T=20, linear)"  # the paper's row of the full model, as named in paper_tables.csv


@dataclass(frozen=True)
class Ablation:
    """A row of Table 4: a variant, or a sweep point of its baseline's maps; ``published`` names the paper's row."""

    group: str
    label: str
    variant: str | None  # None = the baseline
    published: str | None
    point: str = "main"


PAPER_ROWS = [
    Ablation("Full model", "TransFusion", None, FULL),
    Ablation("Inputs", "w/o positional encoding", "no_positional_encoding", "w/o PE"),
    Ablation("Inputs", "w/o simulated previous mask", "no_simulated_mask", "w/o simulated mask"),
    Ablation("Losses", "w/o L_n", "no_normal_loss", "w/o L_n"),
    Ablation("Losses", "w/o L_m", "no_mask_loss", "w/o L_m"),
    Ablation("Losses", "w/o L_a", "no_anomaly_loss", "w/o L_a"),
    Ablation("Losses", "w/o L_c", "no_consistency_loss", "w/o L_c"),
    Ablation("Mask", "Last mask M_1", None, "Last Mask Est. (M_1)", "mask=last"),
    Ablation("Mask", "M_disc only", None, "M_disc only", "mask=disc"),
    Ablation("Mask", "M_recon only", None, "M_recon only", "mask=recon"),
    Ablation("Steps", "T = 5", "steps_5", "5 steps"),
    Ablation("Steps", "T = 10", "steps_10", "10 steps"),
    Ablation("Steps", "T = 20", "steps_20", FULL),
    Ablation("Steps", "T = 50", "steps_50", "50 steps"),
    Ablation("Steps", "T = 100", "steps_100", "100 steps"),
    Ablation("Schedule", "Linear", "schedule_linear", FULL),
    Ablation("Schedule", "Root", "schedule_root", "Root schedule"),
    Ablation("Schedule", "Quadratic", "schedule_quadratic", "Quadratic schedule"),
]


def ablation_rows(measured: Measured) -> list[Ablation]:
    """Return the paper's rows that this benchmark has or the paper reports, then every further variant by its name."""
    settings = measured.settings
    selected = settings.selected_variants
    rows = [row for row in PAPER_ROWS if measured.from_paper or row.variant is None or row.variant in selected]
    known = {row.variant for row in PAPER_ROWS} | {settings.ablation_baseline}
    return rows + [Ablation("Further", name, name, None) for name in selected if name not in known]


def source_of(row: Ablation, measured: Measured) -> Source:
    """Return where the row's numbers are looked up."""
    return Source(row.variant or measured.settings.ablation_baseline, row.point)


def change(measured: Measured, dataset: str, metric: str, source: Source) -> Cell:
    """Return the average minus the full model's, over the categories that both have, in percentage points."""
    baseline = Source(measured.settings.ablation_baseline)
    common = measured.measured_categories(dataset, metric, source, baseline)
    here, full = (measured.average(dataset, metric, each, only=common) for each in (source, baseline))
    if here.value is None or full.value is None:
        return Cell()
    return Cell(here.value - full.value, signed=True, mark=here.mark, about=here.about)


def published_change(dataset: str, row: str | None, metric: str) -> Cell:
    """Return the paper's difference to the full model: as printed, or of two known cells."""
    if row is None:
        return Cell()
    if row == FULL:
        return Cell(0.0, signed=True)
    printed = published_cell(paper("Table 4", dataset, AVERAGE, row, f"{metric} difference (p.p.)"))
    if printed.value is not None:
        return replace(printed, signed=True)
    cells = [published_cell(paper("Table 4", dataset, AVERAGE, name, metric)) for name in (row, FULL)]
    values = numbers_of(cells)
    if len(values) == 2:
        return Cell(values[0] - values[1], signed=True, mark="†", about="derived")
    return printed if printed.mark else next(cell for cell in cells if cell.value is None)


def ablation_table(measured: Measured) -> Table:
    """Make Table 4; the largest difference of each group is bold, among measured and among published ones apart."""
    ablations, datasets = ablation_rows(measured), measured.settings.run.datasets
    sources = [source_of(row, measured) for row in ablations]
    columns = [("", "Group"), ("", "Row")]
    body: list[list[Cell]] = []
    for dataset, metric in product(datasets, METRICS):
        blocks = {"measured": [measured.average(dataset, metric.name, source) for source in sources]}
        changes = [change(measured, dataset, metric.name, source) for source in sources]
        blocks["Δ measured"] = _largest(ablations, changes)
        if published := measured.published_name(dataset):
            there = [published_change(published, row.published, metric.published) for row in ablations]
            blocks["Δ published"] = _largest(ablations, there)
        columns += [(f"{measured.title(dataset)} {metric.task}", title) for title in blocks]
        body += blocks.values()
    rows: list[list[Cell | str]] = [
        [row.group, row.label, *cells] for row, *cells in zip(ablations, *body, strict=True)
    ]
    notes = [
        "Det.: image AUROC (%), Loc.: AUPRO (%), averages over the categories. Δ: difference to the full model in "
        "percentage points, over the categories that both have.",
        "Bold: the largest difference of its group, where all of the group are known.",
        *(note for note in notes_for(rows) if note != RANK_NOTE),
        runs_note(measured, datasets, sources),
    ]
    return Table("table4", "Ablation study", columns, rows, notes, rules_between_groups(rows))


def _largest(ablations: list[Ablation], cells: list[Cell]) -> list[Cell]:
    """Mark the difference of the largest size in each group of which all are known."""
    marked = list(cells)
    for group in {row.group for row in ablations} - {"Full model"}:
        lines = [line for line, row in enumerate(ablations) if row.group == group]
        sizes = [abs(round(value, 1)) for value in numbers_of(cells[line] for line in lines)]
        if len(sizes) < len(lines) or len(lines) < 2 or max(sizes) == 0:
            continue
        over = {cells[line].mark for line, size in zip(lines, sizes, strict=True) if size}
        if len(over) > 1 and any(cells[line].incomplete for line in lines):
            continue  # over other categories another one may be the largest
        for line, size in zip(lines, sizes, strict=True):
            if size == max(sizes):
                marked[line] = replace(cells[line], rank=1)
    return marked

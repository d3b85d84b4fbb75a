"""The paper's statements, each checked against what has been measured: held, not held, or not measured yet."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from tfcore.metrics.gather import AVERAGE, read_metrics
from tfcore.paper.numbers import paper, paper_names, statements
from tfcore.report.claims.checks import (
    MVTEC,
    ROUNDING,
    TOLERANCE,
    VISA,
    Evidence,
    Part,
    ablation,
    at_least,
    sweep_curve,
    value,
)
from tfcore.report.measured import Measured, Source
from tfcore.report.tables.ablations import PAPER_ROWS, source_of
from tfcore.report.tables.by_category import tuned_average
from tfcore.report.tables.published_cells import PAPER_DATASETS, runs_note
from tfcore.report.tables.table import Cell, Table, write_table
from tfcore.settings.variants import Settings

HELD, NOT_HELD, OPEN, UNKNOWN = "held", "not held", "not measured yet", "cells not known"

ROWS = "(Table 3 rows)"  # the source of cells that copies of Table 3 have
DIFFUSION = ("AnoDDPM", "DiffAD", "AnomDiff")

NOTES = [
    "A stated value is held if it lies in the measured interval, or within 0.5 p.p. where there is no interval; a "
    "stated difference if the measured one has its sign and is within 0.5 p.p. or a quarter of it; a stated lead or "
    "bound if the measured value reaches it. Only complete averages over the paper's categories count.",
    "cells not known: the check needs cells of the paper that tfcore/paper/paper_tables.csv does not have.",
]


def _pair(row: str, visa: float, mvtec: float, metric: str = "image_auroc") -> Callable[[Evidence], list[Part]]:
    stated = {VISA: visa, MVTEC: mvtec}
    return lambda evidence: [ablation(evidence, name, metric, row, value) for name, value in stated.items()]


def _headline(evidence: Evidence) -> list[Part]:
    return [
        value(evidence, name, "image_auroc", stated)
        for name, stated in ((VISA, 98.5), (MVTEC, 99.2), ("Average", 98.9))
    ]


def _best_categories(evidence: Evidence) -> list[Part]:
    """C03: TransFusion measured against the published cells of the others, category by category."""
    others = [name for name in paper_names("Table 1", "method") if name != "TransFusion"]
    categories = [name for name in paper_names("Table 1", "category") if name != AVERAGE]
    dataset, best = evidence.dataset(VISA), 0
    for category in categories:
        cells = [paper("Table 1", VISA, category, name, "Image AUROC") for name in others]
        values = [cell.value for cell in cells if cell is not None and cell.value is not None]
        if len(values) < len(others):
            return [Part("needs the other methods' cells of Table 1", unknown=True)]
        found = evidence.measured.category(dataset, category, "image_auroc", evidence.baseline) if dataset else Cell()
        if found.value is None:
            return [Part(f"{VISA} –")]
        best += round(found.value, 1) >= max(values)
    return [Part(f"best on {best} of {len(categories)}", best == 5)]


def _simulated_mask(evidence: Evidence) -> list[Part]:
    row = "w/o simulated mask"
    return [*_pair(row, -1.2, -2.4)(evidence), *_pair(row, -8.6, -6.2, "aupro")(evidence)]


def _small_losses(evidence: Evidence) -> list[Part]:
    return [part for row in ("w/o L_a", "w/o L_c", "w/o L_m") for part in _pair(row, -1.0, -1.0)(evidence)]


def _quadratic(evidence: Evidence) -> list[Part]:
    row = "Quadratic schedule"
    return [*_pair(row, -2.0, -2.0)(evidence), *_pair(row, 1.2, 0.4, "aupro")(evidence)]


def _more_steps(evidence: Evidence) -> list[Part]:
    """C18: VisA AUPRO rises with T."""
    names = ["steps_5", "steps_10", "steps_20", "steps_50", "steps_100"]
    values = [evidence.cell(VISA, "aupro", Source(name)).value for name in names]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return [Part(f"{VISA} –")]
    text = ", ".join(f"{value:.1f}" for value in known)
    return [Part(f"{VISA} T = 5 … 100: {text}", all(a < b for a, b in pairwise(known)))]


def _lowest(evidence: Evidence) -> list[Part]:
    """C20: the two categories with the lowest AUPRO."""
    parts = []
    for published, stated in ((VISA, {"fryum", "cashew"}), (MVTEC, {"transistor", "cable"})):
        dataset = evidence.dataset(published)
        if dataset is None or not evidence.measured.complete(dataset, "aupro", evidence.baseline):
            parts.append(Part(f"{published} –"))
            continue
        found: dict[str, float] = {}
        for category in evidence.measured.categories(dataset):
            found[category] = evidence.measured.category(dataset, category, "aupro", evidence.baseline).value or 0.0
        lowest = sorted(found, key=lambda name: found[name])[:2]
        parts.append(Part(f"{published}: {', '.join(lowest)}", set(lowest) == stated))
    return parts


def _tuned(evidence: Evidence) -> list[Part]:
    """C21: with tuned epochs VisA leads EfficientAD's 98.1 by 0.9, MVTec AD exceeds the untuned 99.2."""
    parts = []
    for published, bound in ((VISA, 99.0), (MVTEC, 99.2 + 2 * ROUNDING)):
        dataset = evidence.dataset(published)
        found = tuned_average(evidence.measured, dataset) if dataset else Cell()
        known = found.value is not None and not found.mark
        text = f"{published} tuned {found.value:.1f}" if known else f"{published} tuned –"
        parts.append(Part(text, found.value >= bound - ROUNDING if known and found.value is not None else None))
    return parts


def _sweeps(evidence: Evidence) -> list[Part]:
    """C22: the best λ is below 1 and large λ are alike; a large filter hurts VisA more than MVTec AD."""
    parts, losses = [], {}
    for name in PAPER_DATASETS:
        curve = sweep_curve(evidence, name, "lambda=")
        if 1.0 not in curve or len(curve) < 3:
            parts.append(Part(f"{name} λ –"))
        else:
            best = max(curve, key=lambda point: curve[point])
            large = [value for point, value in curve.items() if 0.9 <= point < 1]
            robust = bool(large) and max(large) - min(large) <= TOLERANCE
            parts.append(Part(f"{name} best λ {best:g}", best < 1 and robust))
        kernels = sweep_curve(evidence, name, "kernel=")
        if len(kernels) > 2:
            losses[name] = max(kernels.values()) - kernels[max(kernels)]
    if len(losses) < 2:
        return [*parts, Part("kernel –")]
    text = f"largest filter loses {losses[VISA]:.1f} on VisA, {losses[MVTEC]:.1f} on MVTec AD"
    return [*parts, Part(text, losses[VISA] > losses[MVTEC])]


def _localisation_bounds(evidence: Evidence) -> list[Part]:
    parts = []
    for name, low, high in ((VISA, 83.0, 90.5), (MVTEC, 92.9, 100.0)):
        found = evidence.cell(name, "aupro").value
        parts.append(
            Part(f"{name} –") if found is None else Part(f"{name} {found:.1f}", low <= round(found, 1) <= high)
        )
    return parts


def _coloured_cells(evidence: Evidence) -> list[Part]:
    """C07: about the printed table alone. Cells that copies have name the table's rows as their source."""
    parts = []
    for name in (*PAPER_DATASETS, "Average"):
        for metric in ("Det AUROC", "Loc AUPRO"):
            cells = [paper("Table 3", name, AVERAGE, method, metric) for method in paper_names("Table 3", "method")]
            copied = [cell.value for cell in cells if cell and cell.value is not None and ROWS in cell.source]
            lacking = [cell.value for cell in cells if cell and ROWS not in cell.source]
            known = [value for value in lacking if value is not None]
            held = len(lacking) == 3 and all(value > max(copied) for value in known)
            missing = held and len(known) < len(lacking)
            text = f"{name} {metric[:4]}{len(known)} of {len(lacking)} cells known"
            parts.append(Part(text, None if missing else held, unknown=missing))
    return parts


def _faster_than_diffusion(evidence: Evidence) -> list[Part]:
    """C19: about the printed times alone, which are of one device."""
    names = paper_names("Table 5", "method")
    times = {name: paper("Table 5", "A100", "", name, "Inference time [s]") for name in names}
    known = {name: cell.value for name, cell in times.items() if cell is not None and cell.value is not None}
    ours = known.get("TransFusion")
    missing = [name for name in DIFFUSION if name not in known]
    if ours is None or missing:
        return [Part(f"needs the times of {', '.join(missing or ['TransFusion'])} in Table 5", unknown=True)]
    slower = [name for name in DIFFUSION if known[name] > ours]
    faster = [name for name, value in known.items() if value < ours]
    text = f"{ours:g} s: slower than {len(faster)} methods, faster than {', '.join(slower) or 'none of the three'}"
    return [Part(text, bool(faster) and len(slower) == len(DIFFUSION))]


def _patchcore_average(evidence: Evidence) -> list[Part]:
    """C23: about the printed table alone."""
    cells = [paper("Table 3", name, AVERAGE, "PatchCore", "Det AUROC") for name in (*PAPER_DATASETS, "Average")]
    values = [cell.value for cell in cells if cell is not None and cell.value is not None]
    if len(values) < 3:
        return [Part("needs PatchCore's cells of Table 3", unknown=True)]
    own = (values[0] + values[1]) / 2
    return [Part(f"printed {values[2]:.1f}, its cells give {own:.1f}", abs(values[2] - own) > 2 * ROUNDING)]


def _column_average(method: str, contradicts: bool) -> Callable[[Evidence], list[Part]]:
    """C24, C25: does a method's column of Table 2 average to what is printed under it? Unknown cells: 0 to 100."""

    def check(evidence: Evidence) -> list[Part]:
        names = [name for name in paper_names("Table 2", "category") if name != AVERAGE]
        cells = [paper("Table 2", MVTEC, name, method, "Image AUROC") for name in names]
        average = paper("Table 2", MVTEC, AVERAGE, method, "Image AUROC")
        known = [cell.value for cell in cells if cell is not None and cell.value is not None]
        if average is None or average.value is None:
            return [Part("needs the printed average", unknown=True)]
        missing = len(names) - len(known)
        highest = (sum(known) + 100 * missing) / len(names)
        if contradicts and highest < average.value - ROUNDING:
            return [Part(f"at most {highest:.2f}, printed {average.value:.1f}", True)]
        if missing:
            return [Part(f"needs {missing} cells of {method} in Table 2", unknown=True)]
        agrees = abs(highest - average.value) <= 0.1
        return [Part(f"{highest:.2f}, printed {average.value:.1f}", agrees != contradicts)]

    return check


CHECKS: dict[str, Callable[[Evidence], list[Part]]] = {
    "C01": _headline,
    "C02": lambda evidence: [value(evidence, "Average", "aupro", 91.6)],
    "C03": _best_categories,
    "C04": lambda evidence: [at_least(evidence, VISA, "image_auroc", 98.1 + 0.4)],
    "C05": lambda evidence: [at_least(evidence, "Average", "image_auroc", 98.6 + 0.3)],
    "C06": lambda evidence: [at_least(evidence, "Average", "image_auroc", 94.9 + 4.0)],
    "C07": _coloured_cells,
    "C08": _pair("w/o PE", -1.4, -1.9),
    "C09": _simulated_mask,
    "C10": _pair("w/o L_n", -31.8, -26.0),
    "C11": _small_losses,
    "C12": _pair("M_recon only", -0.9, -0.7),
    "C13": _pair("M_disc only", -0.1, -0.2),
    "C14": _pair("Last Mask Est. (M_1)", -1.5, -1.4),
    "C15": _quadratic,
    "C16": _pair("Root schedule", -1.7, -0.7),
    "C17": lambda evidence: [at_least(evidence, VISA, "image_auroc", 98.1, Source("steps_5"))],
    "C18": _more_steps,
    "C19": _faster_than_diffusion,
    "C20": _lowest,
    "C21": _tuned,
    "C22": _sweeps,
    "C23": _patchcore_average,
    "C24": _column_average("RD4AD", contradicts=True),
    "C25": _column_average("AnoDDPM", contradicts=False),
    "C26": _localisation_bounds,
}


def verdict(parts: list[Part]) -> str:
    """Return held if all parts are, not held as soon as one is not, otherwise what is missing."""
    if any(part.held is False for part in parts):
        return NOT_HELD
    if any(part.unknown for part in parts):
        return UNKNOWN
    return OPEN if any(part.held is None for part in parts) else HELD


def claims_table(measured: Measured) -> Table:
    """Make the table of the paper's statements with what was measured and the verdict."""
    evidence = Evidence(measured)
    rows: list[list[Cell | str]] = []
    for statement in statements():
        parts = CHECKS[statement["id"]](evidence)
        texts = "; ".join(part.text for part in parts)
        rows.append([statement["id"], statement["statement"], texts, verdict(parts), statement["where"]])
    count = {name: sum(row[3] == name for row in rows) for name in (HELD, NOT_HELD, OPEN, UNKNOWN)}
    summary = ", ".join(f"{number} {name}" for name, number in count.items() if number)
    columns = [("", name) for name in ("Id", "Statement", "Measured", "Verdict", "Where")]
    runs = runs_note(measured, measured.settings.run.datasets, [source_of(row, measured) for row in PAPER_ROWS])
    return Table("claims", f"Claims of the paper: {summary}", columns, rows, [*NOTES, runs])


def write_claims(metrics: Path, settings: Settings, out: Path) -> list[Path]:
    """Write ``claims.md``, ``.tex`` and ``.csv`` into the folder ``out``."""
    return write_table(claims_table(Measured(read_metrics(metrics), settings)), out)

"""Checks that need cells of the paper's tables: TransFusion among the others, and what the tables say of themselves."""

from collections.abc import Callable

from tfcore.metrics.gather import AVERAGE
from tfcore.paper.numbers import PAPER_DATASETS, Check, names_in, paper, paper_categories, paper_names
from tfcore.report.claims.checks import ROUNDING, Part, categories_of
from tfcore.report.measured import METRICS, Measured
from tfcore.report.table import numbers_of

OURS = "TransFusion"
COPIED = "(Table 3 rows)"  # the source of cells that copies of Table 3 have
NAMES = {metric.name: metric for metric in METRICS}  # what the paper's tables call a metric


def best_categories(measured: Measured, check: Check) -> Part:
    """Check in how many categories the measured value reaches every other method's printed one (Table 1)."""
    others = [name for name in paper_names("Table 1", "method") if name != OURS]
    categories, title = paper_categories(check.dataset), NAMES[check.metric].title
    found, best = categories_of(measured, check), 0
    for category in categories:
        values = numbers_of(paper("Table 1", check.dataset, category, name, title) for name in others)
        if len(values) < len(others):
            return Part("needs the other methods' cells of Table 1", unknown=True)
        if category not in found:
            return Part(f"{check.dataset} –")
        best += round(found[category], 1) >= max(values)
    return Part(f"best on {best} of {len(categories)}", best == check.number)


def lacking_are_highest(_: Measured, check: Check) -> Part:
    """Check that the cells of a column of Table 3 that copies lack are so many, and higher than the others."""
    metric, methods = NAMES[check.metric], paper_names("Table 3", "method")
    cells = [paper("Table 3", check.dataset, AVERAGE, name, metric.published) for name in methods]
    copied = numbers_of(cell for cell in cells if cell and COPIED in cell.source)
    lacking = [cell for cell in cells if cell and COPIED not in cell.source]
    known = numbers_of(lacking)
    highest = len(lacking) == check.number and all(value > max(copied) for value in known)
    missing = highest and len(known) < len(lacking)
    text = f"{check.dataset} {metric.task} {len(known)} of {len(lacking)} cells known"
    return Part(text, None if missing else highest, unknown=missing)


def faster_than(_: Measured, check: Check) -> Part:
    """Check that TransFusion's printed time (Table 5) is above some method's, and below those of the named ones."""
    names = paper_names("Table 5", "method")
    cells = {name: paper("Table 5", "A100", "", name, "Inference time [s]") for name in names}
    times = {name: cell.value for name, cell in cells.items() if cell is not None and cell.value is not None}
    stated = names_in(check.of)
    missing = [name for name in (*stated, OURS) if name not in times]
    if missing:
        return Part(f"needs the times of {', '.join(missing)} in Table 5", unknown=True)
    slower = [name for name in stated if times[name] > times[OURS]]
    faster = [name for name in times if times[name] < times[OURS]]
    text = f"{times[OURS]:g} s: slower than {len(faster)} methods, faster than {', '.join(slower) or 'none of them'}"
    return Part(text, bool(faster) and slower == stated)


def printed_average_differs(_: Measured, check: Check) -> Part:
    """Check that a method's printed average over both datasets (Table 3) is not that of its two cells."""
    title = NAMES[check.metric].published
    values = numbers_of(paper("Table 3", name, AVERAGE, check.of, title) for name in (*PAPER_DATASETS, "Average"))
    if len(values) < 3:
        return Part(f"needs {check.of}'s cells of Table 3", unknown=True)
    own = (values[0] + values[1]) / 2
    return Part(f"printed {values[2]:.1f}, its cells give {own:.1f}", abs(values[2] - own) > 2 * ROUNDING)


def column_average(_: Measured, check: Check) -> Part:
    """Check that a method's column of Table 2 gives the average below it, or less; an unknown cell is at most 100."""
    less, title = check.kind == "column_average_is_less", NAMES[check.metric].title
    dataset = PAPER_DATASETS[1]
    categories = paper_categories(dataset)
    known = numbers_of(paper("Table 2", dataset, name, check.of, title) for name in categories)
    printed = numbers_of([paper("Table 2", dataset, AVERAGE, check.of, title)])
    if not printed:
        return Part("needs the printed average", unknown=True)
    missing = len(categories) - len(known)
    highest = (sum(known) + 100 * missing) / len(categories)
    if less and highest < printed[0] - ROUNDING:
        return Part(f"at most {highest:.2f}, printed {printed[0]:.1f}", True)
    if missing:
        return Part(f"needs {missing} cells of {check.of} in Table 2", unknown=True)
    agrees = abs(highest - printed[0]) <= 0.1  # the cells are rounded, too
    return Part(f"{highest:.2f}, printed {printed[0]:.1f}", agrees != less)


KINDS: dict[str, Callable[[Measured, Check], Part]] = {
    **{check.__name__: check for check in (best_categories, lacking_are_highest, faster_than, printed_average_differs)},
    **dict.fromkeys(("column_average_is_less", "column_average_agrees"), column_average),
}

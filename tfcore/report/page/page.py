"""The report: one self-contained page of everything that has been measured, ``results/report/index.html``."""

import json
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from tfcore.methods.registry import method_named
from tfcore.metrics.gather import AVERAGE, read_metrics
from tfcore.operations.cost import Cost, cost_rows, read_jobs, table_costs, total
from tfcore.paper.numbers import Number, paper, release
from tfcore.report.claims.claims import VERDICTS, claims_table
from tfcore.report.figures.curves import curve_name, setting_used, sweep_data
from tfcore.report.figures.test_images import read_samples
from tfcore.report.measured import METRICS, Measured, ReportedMetric, Source
from tfcore.report.page.charts import Bar, Line, difference_chart, line_chart, sparkline, strip
from tfcore.report.page.examples import Gallery, gallery, weight
from tfcore.report.page.figure_list import page_figures, relative
from tfcore.report.page.provenance import duration, summarise
from tfcore.report.page.table_views import PageTable, page_table
from tfcore.report.table import Cell, cell_text
from tfcore.report.tables.ablations import ablation_rows, change, published_change, source_of
from tfcore.report.tables.overview import make_table
from tfcore.report.tables.published_cells import difference
from tfcore.runs.needed import TABLES, further_datasets, shown_runs, shown_settings
from tfcore.runs.run import Run
from tfcore.runs.stages import shared_run, stage_settings
from tfcore.runtime.files import digest, write_text
from tfcore.settings.variants import Settings, resolve

TEMPLATES = Path(__file__).parent / "templates"
LIMIT = 12_000_000  # bytes of pictures: the page stays under 15 MB
SWEEPS = {"lambda": "λ", "kernel": "side of the mean filter (pixels)"}


def write_page(root: Path, settings: Settings, out: Path, snakemake: str, examples: int = 6) -> None:
    """Write the report page of the benchmark in the folder ``root``, which holds ``results`` and, perhaps, ``data``.

    ``snakemake`` begins the commands to copy, which a target ends; ``examples`` are the pictures per category. Raises
    `UserError` without ``results/metrics.csv``; everything else may be missing and is then left out.
    """
    measured = Measured(read_metrics(root / "results" / "metrics.csv"), settings)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"duration": duration, "cell": cell_text, "percent": "{:.1f}".format, "median": median}
    context = _context(root, measured, out, examples)
    write_text(out, environment.get_template("page.html").render(context, snakemake=snakemake))


def _context(root: Path, measured: Measured, out: Path, examples: int) -> dict[str, Any]:
    """Return what the page shows, by the template's names."""
    results, settings = root / "results", measured.settings
    baseline, shown = settings.tables.baseline, shown_settings(settings)
    trained = stage_settings(settings, "train", baseline)
    runs = [run for dataset in settings.run.datasets for run in shown_runs(settings, dataset)]
    return {
        "settings": settings,
        "settings_json": json.dumps(shown, indent=2, ensure_ascii=False),
        "settings_digest": digest(shown),
        "measured": measured,
        "metrics": METRICS,
        "done": measured.runs(settings.run.datasets, [Source(variant) for variant in settings.selected_variants]),
        "headline": _headline(measured),
        "tables": _tables(measured, results),
        "ablations": _ablation_charts(measured),
        "sweeps": _sweeps(measured),
        "galleries": _galleries(root, settings, runs, examples),
        "curves": _training_curves(root, settings, runs),
        "claims": claims_table(measured),
        "verdicts": VERDICTS,
        "figures": page_figures(results / "figures", settings, out),
        "origin": summarise(root),
        "costs": _costs(root, settings),
        "method": resolve(settings, baseline),  # what the baseline really is: its overrides and protocol filled in
        "trained": method_named(trained["method"]).summary(trained),
        "results_link": relative(results, out),
    }


def _headline(measured: Measured) -> list[dict[str, Any]]:
    """Return one card per dataset and one for their average: measured, interval, paper, release, other variants."""
    settings = measured.settings
    cards = []
    for dataset in measured.datasets:
        numbers = []
        for metric in METRICS:
            cell = measured.average(dataset, metric.name, measured.baseline)
            compared = {name: measured.average(dataset, metric.name, Source(name)) for name in settings.tables.compare}
            known = [*_published(measured, dataset, metric), *compared.items()]
            others = [(name.replace("_", " "), each.value) for name, each in known if each and each.value is not None]
            drawn = strip(cell.value, cell.low, cell.high, others) if cell.value is not None else ""
            judged = [(name, value, difference(cell, Cell(value)).inside) for name, value in others]
            numbers.append({"title": metric.title, "cell": cell, "others": judged, "strip": drawn})
        categories = [] if dataset == AVERAGE else measured.categories(dataset)
        cards.append({"title": measured.title(dataset), "categories": len(categories), "numbers": numbers})
    return cards


def _published(measured: Measured, dataset: str, metric: ReportedMetric) -> list[tuple[str, Number | None]]:
    """Return the paper's and the release's averages where they are over the same categories."""
    if not measured.covers_paper(dataset):
        return []
    name = str(measured.published_name(dataset))
    printed = paper("Table 3", name, AVERAGE, "TransFusion", metric.published)
    return [("paper", printed), ("authors' release", release(name, AVERAGE, metric.name))]


def _tables(measured: Measured, results: Path) -> list[PageTable]:
    commands = {f"table{number}": f"table{number}" for number in TABLES}
    commands |= {f"table_{name}": "all_tables" for name in further_datasets(measured.settings)}
    timing = results / "timing.csv"
    return [page_table(make_table(name, measured, timing), command) for name, command in commands.items()]


def _ablation_charts(measured: Measured) -> list[dict[str, Any]]:
    """Return a chart per dataset and metric: what each ablation changes, measured and published."""
    charts = []
    for dataset, metric in product(measured.settings.run.datasets, METRICS):
        published, bars = measured.published_name(dataset), []
        for row in ablation_rows(measured)[1:]:
            here = change(measured, dataset, metric.name, source_of(row, measured))
            there = published_change(published, row.published, metric.published) if published else Cell()
            bars.append(Bar(row.label, here.value, there.value, row.group))
        title = measured.title(dataset)
        label = f"{title}: change of {metric.title} by each ablation, in percentage points"
        if chart := difference_chart(bars, label):
            charts.append({"title": f"{title}, {metric.title}", "chart": chart})
    return charts


def _sweeps(measured: Measured) -> list[dict[str, Any]]:
    found = []
    for (kind, x_name), metric in product(SWEEPS.items(), METRICS):
        data, chosen = sweep_data(kind, measured), setting_used(kind, measured.settings)
        curves = [curve for _, curve in data[data["metric"] == metric.name].groupby("dataset", sort=False)]
        lines = [Line(curve_name(curve), list(zip(curve[kind], curve["value"], strict=True))) for curve in curves]
        title = f"{metric.title} over {x_name}"
        label = f"{title}, the setting used is {chosen:g}"
        if chart := line_chart(lines, x_name, f"{metric.title}, %", label, chosen):
            found.append({"title": title, "chart": chart, "names": [line.name for line in lines]})
    return found


def _galleries(root: Path, settings: Settings, runs: list[Run], count: int) -> dict[tuple[str, str], Gallery]:
    """Return the examples of every category; fewer and smaller ones where they would not fit into the page."""
    present = {run: samples for run in runs if (samples := read_samples(run, settings, root))}
    some = list(present.values())[:: max(1, len(present) // 3)][
        :3
    ]  # up to three categories tell whether all of them fit
    for number, size in ((count, 256), (min(count, 4), 192), (min(count, 3), 160), (min(count, 2), 128)):
        drawn = [gallery(samples, number, size) for samples in some]
        if weight(drawn) * len(present) <= LIMIT * len(drawn):
            break
    return {(run.dataset, run.category): gallery(samples, number, size) for run, samples in present.items()}


def _training_curves(root: Path, settings: Settings, runs: list[Run]) -> list[dict[str, Any]]:
    """Return the total loss of the baseline's training, per category."""
    curves = []
    for run in runs:
        values = _loss(root / shared_run(settings, "train", run).losses)
        if not values:
            continue
        label = f"Total loss of {run.category} over training, from {values[0]:.3g} to {values[-1]:.3g}, logarithmic"
        if chart := sparkline(values, label):
            curve = {"title": run.category.replace("_", " "), "dataset": settings.datasets[run.dataset].title}
            curves.append(curve | {"chart": chart, "first": values[0], "last": values[-1]})
    return curves


def _loss(log: Path) -> list[float]:
    """Return at most 120 means of the total loss, in order; nothing without a log."""
    try:
        values = pd.read_csv(log)["total"].dropna()
    except (OSError, KeyError, ValueError):
        return []
    groups = np.arange(len(values)) // max(1, -(-len(values) // 120))
    return [float(value) for value in values.groupby(groups).mean()]


def _costs(root: Path, settings: Settings) -> list[tuple[str, list[Cost]]]:
    """Return what the workflow's jobs cost, by rule and by table; nothing where no job has left its record."""
    jobs = read_jobs(root)
    if not jobs:
        return []
    rules = {row.rule: [job for job in jobs if job.rule == row.rule] for row in cost_rows(jobs)}
    by_rule = [total(rule, "", members) for rule, members in [*rules.items(), ("all", jobs)]]
    return [("Rule", by_rule), ("Table", [row for row in table_costs(jobs, settings) if row.jobs])]

"""The report: one self-contained page of everything that has been measured, ``results/report/index.html``."""

import json
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from tfcore.metrics.gather import AVERAGE, read_metrics
from tfcore.operations.cost import Cost, cost_rows, read_jobs, table_costs, total
from tfcore.paper.numbers import PAPER_DATASETS, paper, release
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
from tfcore.runs.stages import shared_run
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
    results = root / "results"
    measured = Measured(read_metrics(results / "metrics.csv"), settings)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"duration": duration, "cell": cell_text, "percent": _percent}
    context = _context(root, measured, out)
    galleries = _galleries(root, settings, examples)
    page = environment.get_template("page.html").render(
        **context,
        galleries=galleries,
        snakemake=snakemake,
        style=Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
        script=Markup((TEMPLATES / "page.js").read_text(encoding="utf-8")),
    )
    write_text(out, page)


def _context(root: Path, measured: Measured, out: Path) -> dict[str, Any]:
    results, settings = root / "results", measured.settings
    baseline, shown = settings.tables.baseline, shown_settings(settings)
    sources = [Source(variant) for variant in settings.selected_variants]
    return {
        "settings": settings,
        "settings_json": json.dumps(shown, indent=2, ensure_ascii=False),
        "settings_digest": digest(shown),
        "done": measured.runs(settings.run.datasets, sources),
        "headline": _headline(measured),
        "tables": _tables(measured, results),
        "ablations": _ablation_charts(measured),
        "sweeps": _sweeps(measured),
        "scores": _category_scores(measured),
        "curves": _training_curves(root, settings),
        "claims": claims_table(measured),
        "verdicts": VERDICTS,
        "from_paper": any(settings.datasets[name].published for name in settings.run.datasets),
        "figures": page_figures(results / "figures", settings, out),
        "origin": summarise(root),
        "costs": _costs(root, settings),
        "baseline": baseline,
        "method": resolve(settings, baseline),  # what the baseline really is: its overrides and protocol filled in
        "results_link": relative(results, out),
    }


def _headline(measured: Measured) -> list[dict[str, Any]]:
    """Return one card per dataset and one for their average: measured, interval, paper, release, other variants."""
    settings = measured.settings
    source = Source(settings.tables.baseline)
    cards = []
    for dataset in [*settings.run.datasets, *([AVERAGE] if len(settings.run.datasets) > 1 else [])]:
        numbers = []
        for metric in METRICS:
            cell = _average(measured, dataset, metric.name, source)
            others = _published(measured, dataset, metric)
            for variant in settings.tables.compare:
                other = _average(measured, dataset, metric.name, Source(variant)).value
                others += [(variant.replace("_", " "), other)] if other is not None else []
            drawn = strip(cell.value, cell.low, cell.high, others) if cell.value is not None else Markup("")
            judged = [(name, value, difference(cell, Cell(value)).inside) for name, value in others]
            numbers.append({"title": metric.title, "cell": cell, "others": judged, "strip": drawn})
        title = "Average" if dataset == AVERAGE else settings.datasets[dataset].title
        count = 0 if dataset == AVERAGE else len(measured.categories(dataset))
        cards.append({"title": title, "categories": count, "numbers": numbers})
    return cards


def _average(measured: Measured, dataset: str, metric: str, source: Source) -> Cell:
    return measured.overall(metric, source) if dataset == AVERAGE else measured.average(dataset, metric, source)


def _published(measured: Measured, dataset: str, metric: ReportedMetric) -> list[tuple[str, float]]:
    """Return the paper's and the release's averages where they are over the same categories."""
    settings = measured.settings
    names = settings.run.datasets if dataset == AVERAGE else [dataset]
    if not all(measured.covers_paper(name) for name in names):
        return []
    there = [str(settings.datasets[name].published) for name in names]
    if dataset == AVERAGE and sorted(there) != sorted(PAPER_DATASETS):
        return []
    place = "Average" if dataset == AVERAGE else there[0]
    numbers = [
        ("paper", paper("Table 3", place, AVERAGE, "TransFusion", metric.published)),
        ("authors' release", release(place, AVERAGE, metric.name)),
    ]
    return [(name, number.value) for name, number in numbers if number is not None and number.value is not None]


def _tables(measured: Measured, results: Path) -> list[PageTable]:
    names = [f"table{number}" for number in TABLES]
    commands = dict(zip(names, names, strict=True))
    commands |= {f"table_{name}": "all_tables" for name in further_datasets(measured.settings)}
    tables = [(make_table(name, measured, results / "timing.csv"), command) for name, command in commands.items()]
    return [page_table(table, command) for table, command in tables]


def _ablation_charts(measured: Measured) -> list[dict[str, Any]]:
    """Return a chart per dataset and metric: what each ablation changes, measured and published."""
    settings = measured.settings
    charts = []
    for dataset in settings.run.datasets:
        published, title = settings.datasets[dataset].published, settings.datasets[dataset].title
        for metric in METRICS:
            bars = [
                Bar(
                    row.label,
                    change(measured, dataset, metric.name, source_of(row, measured)).value,
                    published_change(published, row.published, metric.published).value if published else None,
                    group=row.group,
                )
                for row in ablation_rows(measured)[1:]
            ]
            label = f"{title}: change of {metric.title} by each ablation, in percentage points"
            charts.append({"title": f"{title}, {metric.title}", "chart": difference_chart(bars, label)})
    return [chart for chart in charts if chart["chart"]]


def _sweeps(measured: Measured) -> list[dict[str, Any]]:
    found = []
    for kind, x_name in SWEEPS.items():
        data, chosen = sweep_data(kind, measured), setting_used(kind, measured.settings)
        for metric in METRICS:
            curves = [curve for _, curve in data[data["metric"] == metric.name].groupby("dataset", sort=False)]
            lines = [Line(curve_name(curve), list(zip(curve[kind], curve["value"], strict=True))) for curve in curves]
            title = f"{metric.title} over {x_name}"
            label = f"{title}, the setting used is {chosen:g}"
            if chart := line_chart(lines, x_name, f"{metric.title}, %", label, chosen):
                found.append({"title": title, "chart": chart, "names": [line.name for line in lines]})
    return found


def _category_scores(measured: Measured) -> dict[tuple[str, str], list[tuple[str, Cell]]]:
    source = Source(measured.settings.tables.baseline)
    return {
        (dataset, category): [
            (metric.title, measured.category(dataset, category, metric.name, source)) for metric in METRICS
        ]
        for dataset in measured.settings.run.datasets
        for category in measured.categories(dataset)
    }


def _galleries(root: Path, settings: Settings, count: int) -> dict[tuple[str, str], Gallery]:
    """Return the examples of every category; fewer and smaller ones where they would not fit into the page."""
    attempts = ((count, 256), (min(count, 4), 192), (min(count, 3), 160), (min(count, 2), 128))
    runs = [run for dataset in settings.run.datasets for run in shown_runs(settings, dataset)]
    present = [run for run in runs if read_samples(run, settings, root)]
    number, size = next(
        (attempt for attempt in attempts if _fits(root, settings, present, *attempt)),
        attempts[-1],
    )
    found = {(run.dataset, run.category): gallery(root, settings, run, number, size) for run in present}
    return {names: item for names, item in found.items() if item is not None}


def _fits(root: Path, settings: Settings, runs: list[Run], number: int, size: int) -> bool:
    """Estimate from up to three categories whether all of them fit into the page."""
    some = runs[:: max(1, len(runs) // 3)][:3]
    items = [item for run in some if (item := gallery(root, settings, run, number, size))]
    return not items or weight(items) * len(runs) / len(items) <= LIMIT


def _training_curves(root: Path, settings: Settings) -> list[dict[str, Any]]:
    """Return the total loss of the baseline's training, per category."""
    curves = []
    for run in [run for dataset in settings.run.datasets for run in shown_runs(settings, dataset)]:
        values = _loss(root / shared_run(settings, "train", run).losses)
        if not values:
            continue
        label = f"Total loss of {run.category} over training, from {values[0]:.3g} to {values[-1]:.3g}, logarithmic"
        curve = {"title": run.category.replace("_", " "), "dataset": settings.datasets[run.dataset].title}
        curves.append(curve | {"chart": sparkline(values, label), "first": values[0], "last": values[-1]})
    return [curve for curve in curves if curve["chart"]]


def _loss(log: Path) -> list[float]:
    """Return at most 120 means of the total loss, in order; nothing without a log."""
    try:
        values = pd.read_csv(log)["total"].dropna()
    except (OSError, KeyError, ValueError):
        return []
    group = max(1, -(-len(values) // 120))
    return [float(value) for value in values.groupby([index // group for index in range(len(values))]).mean()]


def _costs(root: Path, settings: Settings) -> list[tuple[str, list[Cost]]]:
    """Return what the workflow's jobs cost, by rule and by table; nothing where no job has left its record."""
    jobs = read_jobs(root)
    if not jobs:
        return []
    rules = dict.fromkeys(row.rule for row in cost_rows(jobs))
    by_rule = [total(rule, "", [job for job in jobs if job.rule == rule]) for rule in rules]
    by_rule.append(total("all", "", jobs))
    return [("Rule", by_rule), ("What it rests on", [row for row in table_costs(jobs, settings) if row.jobs])]


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"

import pytest
from fabricated import DEMO, paper_settings, write_metrics

from tfcore.metrics.gather import read_metrics
from tfcore.paper import numbers
from tfcore.report.claims.claims import (
    NOT_REPRODUCED,
    OPEN,
    REPRODUCED,
    UNKNOWN,
    Part,
    claims_table,
    verdict,
    write_claims,
)
from tfcore.report.measured import Measured

PAPER_LEVEL = {"visa": 0.985, "mvtec_ad": 0.992}  # averages of the paper's headline


@pytest.fixture
def settings():
    return paper_settings()


def with_levels(metrics, levels, variant="full", metric="image_auroc", point="main"):
    """Return a copy in which every category of a dataset has the same value, without intervals."""
    metrics = metrics[metrics["dataset"] != "average"].copy()  # of other numbers than these
    metrics[["low", "high"]] = None
    chosen = (metrics["variant"] == variant) & (metrics["metric"] == metric) & (metrics["point"] == point)
    for dataset, level in levels.items():
        metrics.loc[chosen & (metrics["dataset"] == dataset), "value"] = level
    return metrics


@pytest.fixture
def metrics(tmp_path, settings):
    variants = ("full", "no_positional_encoding", "steps_5", "schedule_root")
    return read_metrics(write_metrics(tmp_path / "metrics.csv", settings, variants))


def verdicts(metrics, settings):
    return {row[0]: row[3] for row in claims_table(Measured(metrics, settings)).rows}


def test_headline_is_reproduced_at_the_papers_level(metrics, settings):
    found = verdicts(with_levels(metrics, PAPER_LEVEL), settings)
    assert [found[name] for name in ("C01", "C04", "C05", "C06")] == [REPRODUCED] * 4


def test_headline_is_not_reproduced_a_point_below(metrics, settings):
    found = verdicts(with_levels(metrics, {"visa": 0.975, "mvtec_ad": 0.992}), settings)
    assert [found[name] for name in ("C01", "C04", "C05")] == [NOT_REPRODUCED] * 3


def test_an_interval_decides_where_there_is_one(metrics, settings):
    close = with_levels(metrics, {"visa": 0.983, "mvtec_ad": 0.992})
    assert verdicts(close, settings)["C01"] == REPRODUCED  # within half a point
    close["low"], close["high"] = close["value"] - 0.001, close["value"] + 0.001
    assert verdicts(close, settings)["C01"] == NOT_REPRODUCED


@pytest.mark.parametrize(
    ("visa", "expected"), [(0.985 - 0.014, REPRODUCED), (0.985 + 0.014, NOT_REPRODUCED), (0.985, NOT_REPRODUCED)]
)
def test_stated_differences(metrics, settings, visa, expected):
    levels = with_levels(metrics, PAPER_LEVEL)
    levels = with_levels(levels, {"visa": visa, "mvtec_ad": 0.992 - 0.019}, "no_positional_encoding")
    assert verdicts(levels, settings)["C08"] == expected


def test_what_is_incomplete_is_not_measured_yet(tmp_path, settings):
    file = write_metrics(tmp_path / "metrics.csv", settings, skip=("pcb4", "grid"))
    found = verdicts(read_metrics(file), settings)
    open_ids = {name for name in found if name not in ("C03", "C07", "C19", "C23", "C24", "C25")}
    assert {found[name] for name in open_ids} == {OPEN}


def test_lowest_categories(metrics, settings):
    levels = with_levels(metrics, {"visa": 0.95, "mvtec_ad": 0.95}, metric="aupro")
    aupro = levels["metric"] == "aupro"
    levels.loc[aupro & levels["category"].isin(["fryum", "cashew", "transistor", "cable"]), "value"] = 0.85
    assert verdicts(levels, settings)["C20"] == REPRODUCED
    levels.loc[aupro & (levels["category"] == "pcb1"), "value"] = 0.80
    assert verdicts(levels, settings)["C20"] == NOT_REPRODUCED


def test_sweeps(tmp_path, settings):
    points = ("main", "lambda=0.5", "lambda=0.9", "lambda=0.95", "lambda=1.0", "kernel=1", "kernel=7", "kernel=21")
    levels = read_metrics(write_metrics(tmp_path / "metrics.csv", settings, points=points))
    values = {"lambda=0.5": 0.9, "lambda=0.9": 0.98, "lambda=0.95": 0.981, "lambda=1.0": 0.97, "kernel=1": 0.97}
    for point, value in (values | {"kernel=7": 0.98}).items():
        levels = with_levels(levels, {"visa": value, "mvtec_ad": value}, point=point)
    levels = with_levels(levels, {"visa": 0.9, "mvtec_ad": 0.979}, point="kernel=21")
    assert verdicts(levels, settings)["C22"] == REPRODUCED
    assert (
        verdicts(with_levels(levels, {"visa": 0.99, "mvtec_ad": 0.99}, point="lambda=1.0"), settings)["C22"]
        == NOT_REPRODUCED
    )


def test_claims_about_the_printed_tables_alone(metrics, settings):
    found = verdicts(metrics, settings)
    assert (found["C23"], found["C24"], found["C03"], found["C25"]) == (REPRODUCED, REPRODUCED, UNKNOWN, UNKNOWN)


def filled_in(monkeypatch, tmp_path, **cells):
    """Fill in cells of the paper as a reader would: the value, and that it is printed."""
    rows = numbers.paper_tables().copy()
    for label, value in cells.items():
        table, dataset, method, metric = label.split("|")
        chosen = (rows["table"] == table) & (rows["dataset"] == dataset) & (rows["method"] == method)
        chosen &= rows["metric"].str.startswith(metric) & rows["category"].isin(["", "average"])
        assert chosen.sum() == 1, label
        rows.loc[chosen, ["value", "certainty"]] = [value, "printed"]
    rows.to_csv(tmp_path / "paper_tables.csv", index=False)
    monkeypatch.setattr(numbers, "PAPER", tmp_path / "paper_tables.csv")


@pytest.mark.parametrize(("diffad", "expected"), [(2.0, REPRODUCED), (0.1, NOT_REPRODUCED)])
def test_times_of_the_paper_give_a_verdict_once_they_are_known(
    metrics, settings, monkeypatch, tmp_path, diffad, expected
):
    assert verdicts(metrics, settings)["C19"] == UNKNOWN
    times = {"AnoDDPM": 3.0, "DiffAD": diffad, "AnomDiff": 1.0, "EfficientAD": 0.01}
    filled_in(monkeypatch, tmp_path, **{f"Table 5|A100|{name}|Inference": value for name, value in times.items()})
    assert verdicts(metrics, settings)["C19"] == expected


@pytest.mark.parametrize(("visa", "expected"), [(85.0, REPRODUCED), (70.0, NOT_REPRODUCED)])
def test_coloured_cells_give_a_verdict_once_they_are_known(metrics, settings, monkeypatch, tmp_path, visa, expected):
    assert verdicts(metrics, settings)["C07"] == UNKNOWN
    cells = {"VisA|AST|Loc": 81.6, "VisA|TransFusion|Loc": visa, "MVTec AD|TransFusion|Loc": 95.0}
    cells |= {"Average|RD4AD|Det": 97.3, "Average|EfficientAD|Loc": 93.8}
    filled_in(monkeypatch, tmp_path, **{f"Table 3|{name}": value for name, value in cells.items()})
    assert verdicts(metrics, settings)["C07"] == expected


def test_other_datasets_say_nothing_about_the_paper(tmp_path):
    settings = paper_settings(tmp_path, DEMO)
    found = verdicts(read_metrics(write_metrics(tmp_path / "metrics.csv", settings)), settings)
    assert set(found.values()) == {OPEN, UNKNOWN, REPRODUCED}
    assert {name for name, each in found.items() if each == REPRODUCED} == {"C23", "C24"}


def test_one_part_that_is_not_reproduced_decides():
    assert verdict([Part("a", True), Part("b", False), Part("c")]) == NOT_REPRODUCED
    assert verdict([Part("a", True), Part("b")]) == OPEN
    assert verdict([Part("a", True), Part("b", True)]) == REPRODUCED


def test_claims_are_written(tmp_path, settings):
    file = write_metrics(tmp_path / "metrics.csv", settings)
    names = {path.name for path in write_claims(file, settings, tmp_path / "tables")}
    assert {"claims.md", "claims.tex", "claims.csv"} <= names
    assert (tmp_path / "tables/claims.csv").read_text().count("\n") == 27

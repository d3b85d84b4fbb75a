import pytest
from fabricated import paper_settings, write_metrics

from tfcore.metrics.gather import gathered_for
from tfcore.report.explain import explain
from tfcore.report.tables.overview import write_tables
from tfcore.runs.needed import score_files
from tfcore.runs.run import Run
from tfcore.runtime.errors import UserError
from tfcore.runtime.files import read_json, write_json


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = paper_settings()
    metrics = write_metrics(tmp_path / "metrics.csv", settings)
    write_tables(metrics, settings, tmp_path / "tables", ["table2", "table3"])
    record = {
        "git": {"commit": "0123456789abcdef", "clean": False},
        "settings_digest": "feedbeef",
        "settings": {"train": {"epochs": 1500}},
        "version": 1,
        "device": "CPU",
        "end": "2026-11-23T12:00:00+00:00",
    }
    write_json(Run("mvtec_ad", "screw").checkpoint.with_name("run.json"), record)
    return tmp_path, settings, metrics


def test_a_table_names_its_runs_their_commits_and_settings(made):
    folder, settings, metrics = made
    text = explain(folder / "tables/table2.md", settings, metrics)
    assert "is what" in text
    assert "is made from 15 runs" in text
    (line,) = [line for line in text.splitlines() if line.startswith("mvtec_ad/screw/full/seed0")]
    assert "0123456789 (changed)" in line
    assert "feedbeef" in line
    assert "epochs: 1500" in text
    assert "visa/" not in text, "Table 2 stands on MVTec AD alone"


def test_a_table_that_the_metrics_no_longer_give_is_called_so(made):
    folder, settings, metrics = made
    table = folder / "tables/table2.md"
    table.write_text(table.read_text().replace("9", "8"))
    assert "differs" in explain(table, settings, metrics)


def test_table_5_stands_on_times_and_not_on_runs(made):
    folder, settings, metrics = made
    timing = folder / "timing.csv"
    timing.write_text("device,steps,batch,seconds_per_image\nCPU,20,1,3.5\n")
    write_tables(metrics, settings, folder / "tables", ["table5"], timing)
    text = explain(folder / "tables/table5.md", settings, metrics, timing)
    assert "is what" in text
    assert "is made from the times in" in text
    assert "Nothing" in explain(folder / "tables/table5.md", settings, metrics, folder / "none.csv")


def test_without_gathered_metrics_the_scores_that_are_there_are_read(made):
    folder, settings, metrics = made
    rows = [line for line in metrics.read_text().splitlines() if ",screw," in line or line.startswith("method,")]
    scores = Run("mvtec_ad", "screw").scores
    scores.parent.mkdir(parents=True)
    scores.write_text("\n".join(rows) + "\n")
    text = explain(folder / "tables/table2.md", settings)
    assert "differs from what the scores in results give now" in text
    assert "is made from 1 runs" in text


def test_other_methods_and_variants_of_other_settings_are_named(made):
    folder, settings, metrics = made
    lines = metrics.read_text().splitlines()
    other = [line.replace("transfusion", "draem") for line in lines if ",screw,full," in line]
    removed = [line.replace(",full,", ",steps_5,") for line in lines if ",screw,full," in line]
    metrics.write_text("\n".join([*lines, *other, *removed]) + "\n")
    assert "draem: mvtec_ad/screw/full/seed0" in explain(folder / "tables/table2.md", settings, metrics)
    fewer = settings.model_copy(update={"variants": {"full": {}}})
    write_tables(metrics, fewer, folder / "tables", ["table4"])
    assert "mvtec_ad/screw/steps_5/seed0" in explain(folder / "tables/table4.md", fewer, metrics)


def test_another_file_is_refused(made):
    folder, settings, metrics = made
    (folder / "tables/claims.md").write_text("")
    with pytest.raises(
        UserError, match=r"^no such table 'claims' \(known: table1 … table9, table_mvtec_ad, table_visa\)$"
    ):
        explain(folder / "tables/claims.md", settings, metrics)


@pytest.mark.parametrize(
    ("clean", "shown"), [(False, "0123456789 (changed)"), (True, "0123456789 "), (None, "0123456789 ")]
)
def test_a_commit_is_called_changed_only_when_it_is_known(made, clean, shown):
    folder, settings, metrics = made
    file = Run("mvtec_ad", "screw").checkpoint.with_name("run.json")
    record = read_json(file)
    record["git"]["clean"] = clean
    write_json(file, record)
    text = explain(folder / "tables/table2.md", settings, metrics)
    (line,) = [line for line in text.splitlines() if line.startswith("mvtec_ad/screw/full/seed0")]
    assert shown in line
    assert ("(changed)" in line) == (clean is False)


@pytest.mark.parametrize("content", ["", "[]", "{not json", "{}"])
def test_a_damaged_record_is_told_of_and_no_traceback(made, content):
    folder, settings, metrics = made
    Run("mvtec_ad", "screw").checkpoint.with_name("run.json").write_text(content)
    text = explain(folder / "tables/table2.md", settings, metrics)
    (line,) = [line for line in text.splitlines() if line.startswith("mvtec_ad/screw/full/seed0")]
    assert ("unknown" if content == "{}" else "no run.json here, or a damaged one") in line


def test_scores_that_the_settings_no_longer_ask_for_are_not_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = paper_settings(tmp_path, "tables: {checkpoint_epochs: [500]}")
    rows = write_metrics(tmp_path / "metrics.csv", settings, points=("main", "epoch=500", "epoch=900", "mask=disc"))
    lines = rows.read_text().splitlines()
    run = Run("mvtec_ad", "screw")
    for file, point in (
        (run.scores, "main"),
        (run.scores_at(500), "epoch=500"),
        (run.scores_at(900), "epoch=900"),
        (run.sweep, "mask=disc"),
    ):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join([lines[0], *(line for line in lines if f",screw,full,0,{point}," in line)]) + "\n")
    assert score_files(settings) == [run.scores, run.sweep, run.scores_at(500)]
    fewer = paper_settings(tmp_path, "run: {sweep_variants: []}")
    assert score_files(fewer) == [run.scores]
    write_tables(gathered_for(fewer, [run.scores]), fewer, tmp_path / "tables", ["table4", "table9"])
    for number in (4, 9):
        assert "is what the scores in results give" in explain(tmp_path / f"tables/table{number}.md", fewer)

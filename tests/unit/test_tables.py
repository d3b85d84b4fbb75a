import csv
import re
import shutil
import subprocess
from dataclasses import replace

import pandas as pd
import pytest
from fabricated import DEMO, ROOT, paper_settings, write_metrics

from tfcore.metrics.gather import gather, gathered_for, read_metrics
from tfcore.report.claims.claims import write_claims
from tfcore.report.measured import Measured, Source
from tfcore.report.table import Cell, Table, cell_text, csv_text, latex, markdown, ranked
from tfcore.report.tables.ablations import Ablation, _largest, change, published_change
from tfcore.report.tables.overview import make_table, write_tables
from tfcore.report.tables.published_cells import difference
from tfcore.runs.needed import score_files, shown_settings
from tfcore.runs.run import Run
from tfcore.runtime.errors import UserError

FULL = Source("full")
KEYS = ["dataset", "category", "variant"]


@pytest.fixture
def settings():
    return paper_settings()


@pytest.fixture
def metrics(tmp_path, settings):
    return read_metrics(write_metrics(tmp_path / "metrics.csv", settings))


def table_of(number, rows, settings, timing=None):
    return make_table(f"table{number}", Measured(rows, settings), timing)


def named(table, label):
    (row,) = [row for row in table.rows if label in row[:2]]
    return row


def column(table, name):
    (index,) = [index for index, each in enumerate(table.columns) if each == name]
    return index


def value_of(metrics, dataset, category, metric="image_auroc"):
    rows = metrics[(metrics["dataset"] == dataset) & (metrics["category"] == category) & (metrics["metric"] == metric)]
    return 100 * rows["value"].iloc[0]


# Cells


def test_equal_numbers_share_a_rank_and_the_next_is_skipped():
    marked = ranked([Cell(99.94), Cell(98.0), Cell(99.91), Cell(97.0), Cell(96.0)])
    assert [cell.rank for cell in marked] == [1, 3, 1, 0, 0]


def test_nothing_is_ranked_where_a_number_is_missing_or_alone():
    assert [cell.rank for cell in ranked([Cell(99.0), Cell(), Cell(98.0)])] == [0, 0, 0]
    assert [cell.rank for cell in ranked([Cell(99.0)])] == [0]


def test_an_average_over_some_categories_has_no_rank():
    assert [cell.rank for cell in ranked([Cell(99.0, mark=" (3/12)"), Cell(98.0)])] == [0, 0]
    assert [cell.rank for cell in ranked([Cell(99.0, mark="†"), Cell(98.0)])] == [1, 2]


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (Cell(98.45), "98.5"),
        (Cell(-0.04, signed=True), "+0.0"),
        (Cell(-1.26, signed=True), "-1.3"),
        (Cell(mark="?"), "?"),
        (Cell(), ""),
        (Cell(98.0, mark="†"), "98.0†"),
        (Cell(98.0, spread=0.24, seeds=3), "98.0 ± 0.2"),
    ],
)
def test_cells_have_one_decimal(cell, text):
    assert cell_text(cell) == text


def test_intervals_are_shown_on_request_only():
    cell = Cell(98.0, 97.04, 99.1)
    assert cell_text(cell) == "98.0"
    assert cell_text(cell, intervals=True) == "98.0 [97.0, 99.1]"


def test_difference_says_whether_the_published_value_lies_inside():
    measured = Cell(98.0, 97.0, 99.0)
    assert difference(measured, Cell(98.5)).inside is True
    assert difference(measured, Cell(99.2)).inside is False
    assert difference(measured, Cell(98.5)).value == pytest.approx(-0.5)
    assert difference(Cell(98.0, mark=" (3/12)"), Cell(98.5)).value is None
    assert difference(measured, Cell(mark="?")).value is None


# Lookup


def test_averages_are_of_the_categories_and_incomplete_ones_say_so(tmp_path, settings):
    rows = read_metrics(write_metrics(tmp_path / "metrics.csv", settings, skip=("pcb4", "candle")))
    measured = Measured(rows, settings)
    values = [
        value_of(rows, "visa", name) for name in settings.datasets["visa"].categories if name not in ("pcb4", "candle")
    ]
    cell = measured.average("visa", "image_auroc", FULL)
    assert cell.value == pytest.approx(sum(values) / 10)
    assert cell.mark == " (10/12)"
    assert measured.average("mvtec_ad", "image_auroc", FULL).mark == ""
    assert measured.overall("image_auroc", FULL).mark == " (incomplete)"
    assert measured.runs(["visa", "mvtec_ad"], [FULL]) == (25, 27)


def test_average_keeps_its_interval(metrics, settings):
    cell = Measured(metrics, settings).average("visa", "aupro", FULL)
    assert (cell.low, cell.high) == (pytest.approx(cell.value - 1), pytest.approx(cell.value + 1))


def test_several_seeds_give_mean_and_deviation(tmp_path):
    settings = paper_settings(tmp_path, "run: {seeds: [0, 1, 2]}")
    rows = read_metrics(write_metrics(tmp_path / "metrics.csv", settings, seeds=(0, 1, 2)))
    cell = Measured(rows, settings).average("visa", "image_auroc", FULL)
    averages = rows.query("dataset == 'visa' and category == 'average' and metric == 'image_auroc'")["value"] * 100
    assert cell.value == pytest.approx(averages.mean())
    assert cell.spread == pytest.approx(averages.std())
    assert cell.seeds == 3
    overall = Measured(rows, settings).overall("image_auroc", FULL)
    totals = rows.query("dataset == 'average' and metric == 'image_auroc'")["value"] * 100
    assert (overall.value, overall.spread) == (pytest.approx(totals.mean()), pytest.approx(totals.std()))


def test_averages_over_more_than_the_benchmark_covers_are_not_taken_for_its_own(tmp_path):
    settings = paper_settings(tmp_path, "run: {seeds: [0, 1]}")
    rows = read_metrics(write_metrics(tmp_path / "metrics.csv", settings, seeds=(0, 1)))
    own = Measured(rows, settings)
    overall, visa = own.overall("image_auroc", FULL), own.average("visa", "image_auroc", FULL)
    assert overall.spread is not None and visa.spread is not None
    of_visa = (rows["dataset"] == "visa") & (rows["metric"] == "image_auroc")
    third = rows[of_visa & (rows["category"] == "average")].assign(dataset="mine", value=0.1)  # gathered with them
    rows.loc[rows["dataset"] == "average", "value"] -= 0.1
    cell = Measured(pd.concat([rows, third]), settings).overall("image_auroc", FULL)
    assert (cell.value, cell.spread) == (pytest.approx(overall.value), None)
    thirteenth = rows[of_visa & (rows["category"] == "candle")].assign(category="pcb5", value=0.1)
    rows.loc[of_visa & (rows["category"] == "average"), "value"] -= 0.1
    cell = Measured(pd.concat([rows, thirteenth]), settings).average("visa", "image_auroc", FULL)
    assert (cell.value, cell.spread, cell.mark) == (pytest.approx(visa.value), None, "")


def test_variants_that_share_everything_share_their_numbers(metrics, settings):
    measured = Measured(metrics, settings)
    full = measured.average("visa", "image_auroc", FULL).value
    assert measured.average("visa", "image_auroc", Source("steps_20")).value == full
    assert measured.average("visa", "image_auroc", Source("steps_5")).value is None
    assert measured.runs(["visa"], [FULL, Source("steps_20"), Source("full", "mask=disc")]) == (12, 12)


def test_variants_that_differ_in_scoring_do_not_share_numbers(tmp_path):
    settings = paper_settings(tmp_path, "variants: {wide_filter: {score.kernel: 21}}")
    rows = read_metrics(write_metrics(tmp_path / "metrics.csv", settings))
    assert Measured(rows, settings).average("visa", "image_auroc", Source("wide_filter")).value is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",value,", ",number,", "lacks the column value"),
        ("image_auroc,0.", "image_auroc,97.", "not a number in"),
        ("image_auroc,0.", "image_auroc,good0.", "not a number in"),
    ],
)
def test_metrics_that_make_no_sense_are_refused_in_one_line(tmp_path, settings, old, new, message):
    file = write_metrics(tmp_path / "metrics.csv", settings)
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=message) as error:
        read_metrics(file)
    assert "\n" not in str(error.value)


def test_missing_metrics_say_how_to_make_them(tmp_path):
    with pytest.raises(UserError, match="gather"):
        read_metrics(tmp_path / "none.csv")


def test_the_same_run_twice_is_refused(metrics, settings):
    with pytest.raises(UserError, match="two rows"):
        Measured(pd.concat([metrics, metrics.head(1)]), settings)


def test_seeds_that_the_benchmark_does_not_name_are_left_out(tmp_path, settings):
    rows = read_metrics(write_metrics(tmp_path / "metrics.csv", settings, seeds=(0, 1, 2)))
    alone = rows.query("seed == '0'")
    both = [Measured(each, settings).average("visa", "image_auroc", FULL) for each in (rows, alone)]
    assert both[0] == both[1]
    assert table_of(3, rows, settings).notes[-1].endswith("run.seeds does not name are left out: 1, 2.")
    assert "seeds" not in table_of(3, alone, settings).notes[-1]


def test_rows_of_the_paper_that_are_not_selected_do_not_count_as_missing(tmp_path):
    settings = paper_settings(tmp_path, "run: {variants: [full, steps_5]}")
    rows = read_metrics(write_metrics(tmp_path / "metrics.csv", settings, ("full",)))
    note = table_of(4, rows, settings).notes[-1]
    assert note.startswith("Made from 27 of 54 runs.")
    assert "run.variants" in note
    assert "run.variants" not in table_of(3, rows, settings).notes[-1]


# Tables


@pytest.mark.parametrize("number", [1, 3, 4])
def test_a_table_from_its_own_scores_is_the_one_from_all_metrics(tmp_path, monkeypatch, number):
    settings = paper_settings(tmp_path, "score: {resamples: 50}")
    rows = read_metrics(write_metrics(tmp_path / "rows.csv", settings, ("full", "no_normal_loss")))
    monkeypatch.chdir(tmp_path)
    for (dataset, category, variant), scores in rows[rows["category"] != "average"].groupby(KEYS):
        file = Run(dataset, category, variant).scores
        file.parent.mkdir(parents=True)
        scores.to_csv(file, index=False)
    files = score_files(settings)
    assert len(files) == 2 * 27
    gather(files, "metrics.csv", "metrics.json")
    dataset, variants = {1: ("visa", ["full"]), 3: ("", ["full"]), 4: ("", ["full", "no_normal_loss"])}[number]
    own = [file for file in files if dataset in file.parts[2:3] or not dataset]
    own = [file for file in own if file.parts[4] in variants]
    assert len(own) == {1: 12, 3: 27, 4: 54}[number]
    table = table_of(number, gathered_for(settings, own), settings)
    assert markdown(table, intervals=True) == markdown(table_of(number, gathered_for(settings, files), settings), True)
    assert markdown(table) == markdown(table_of(number, read_metrics("metrics.csv"), settings))


def test_the_page_shows_no_setting_that_says_nothing_about_results(tmp_path):
    settings = paper_settings(
        tmp_path, "datasets: {visa: {local: /home/me/VisA.tar, foregrounds: /home/me/sam}}\ntextures: {local: /home/me}"
    )
    shown = shown_settings(settings)
    assert "/home/me" not in str(shown) and "hardware" not in shown
    assert shown["score"]["lambda"] == 0.95
    assert [shown["datasets"][name]["foregrounds"] for name in ("mvtec_ad", "visa")] == [None, "given"]


def test_table_1_has_the_papers_methods_the_release_and_the_measured(metrics, settings):
    table = table_of(1, metrics, settings)
    assert [name for group, name in table.columns if group == "Published"][0::10] == ["AnoDDPM", "TransFusion"]
    row = named(table, "capsules")
    assert row[column(table, ("Release", "TransFusion"))].value == pytest.approx(98.7)
    assert row[column(table, ("Measured", "TransFusion"))].value == pytest.approx(value_of(metrics, "visa", "capsules"))
    assert row[column(table, ("Published", "DSR"))].mark == "?"
    average = named(table, "average")
    change_to_paper = average[column(table, ("Measured − published", "paper"))]
    measured = average[column(table, ("Measured", "TransFusion"))]
    assert change_to_paper.value == pytest.approx(measured.value - 98.5)
    assert len(table.rows) == 13


def test_table_2_has_the_papers_order_and_marks_certainty(metrics, settings):
    table = table_of(2, metrics, settings)
    assert [row[0] for row in table.rows][:2] == ["carpet", "grid"]
    grid = named(table, "grid")
    assert grid[column(table, ("Published", "AnomDiff"))].mark == ""
    assert grid[column(table, ("Published", "DSR"))].mark == "†"


def test_ranks_never_cross_from_published_to_measured(tmp_path, settings):
    first = write_metrics(tmp_path / "a.csv", settings)
    second = write_metrics(tmp_path / "b.csv", settings, method="other")
    first.write_text(first.read_text() + "".join(second.read_text().splitlines(keepends=True)[1:]))
    table = table_of(2, read_metrics(first), settings)
    average = named(table, "average")
    published = [cell.rank for (group, _), cell in zip(table.columns, average, strict=True) if group == "Published"]
    measured = [cell.rank for (group, _), cell in zip(table.columns, average, strict=True) if group == "Measured"]
    assert sorted(rank for rank in published if rank) == [1, 2, 2]  # 99.6, then 99.2 twice
    assert measured == [1, 1]  # the same invented numbers
    assert named(table, "grid")[column(table, ("Published", "DSR"))].rank == 0  # its row has unknown cells


def test_table_3_compares_averages_only_when_complete(tmp_path, settings):
    rows = read_metrics(write_metrics(tmp_path / "metrics.csv", settings, skip=("pcb4",)))
    table = table_of(3, rows, settings)
    to_paper = named(table, "measured − published")
    assert to_paper[column(table, ("MVTec AD", "Det. AUROC"))].value is not None
    assert to_paper[column(table, ("VisA", "Det. AUROC"))].value is None
    assert to_paper[column(table, ("Average", "Det. AUROC"))].value is None
    assert any("26 of 27 runs" in note for note in table.notes)


def test_averages_over_other_categories_are_not_compared(tmp_path):
    settings = paper_settings(tmp_path, "datasets: {visa: {categories: [capsules]}}")
    rows = read_metrics(write_metrics(tmp_path / "metrics.csv", settings))
    to_paper = named(table_of(3, rows, settings), "measured − published")
    assert to_paper[column(table_of(3, rows, settings), ("VisA", "Det. AUROC"))].value is None
    table = table_of(1, rows, settings)
    assert named(table, "average")[column(table, ("Measured − published", "paper"))].value is None
    assert named(table, "capsules")[column(table, ("Measured − published", "release"))].value is not None
    assert "VisA is measured on capsules" in table.notes[-1]


def test_published_average_is_left_out_beside_another_dataset(tmp_path):
    settings = paper_settings(
        tmp_path,
        "run: {datasets: [mvtec_ad, visa, mine]}\ndatasets: {mine: {title: Mine, layout: visa, categories: [a]}}",
    )
    rows = read_metrics(write_metrics(tmp_path / "metrics.csv", settings))
    table = table_of(3, rows, settings)
    ours = next(row for row in table.rows if row[0] == "published")
    assert ours[column(table, ("Average", "Det. AUROC"))] == Cell()
    assert ours[column(table, ("Mine", "Det. AUROC"))] == Cell()
    files = write_tables(tmp_path / "metrics.csv", settings, tmp_path / "out")
    assert tmp_path / "out/table_mine.md" in files


def test_table_4_has_every_row_of_the_paper_and_the_users(tmp_path):
    settings = paper_settings(tmp_path, "variants: {mine: {train.batch_size: 4}}")
    rows = read_metrics(write_metrics(tmp_path / "metrics.csv", settings, ("full", "mine", "no_normal_loss")))
    table = table_of(4, rows, settings)
    assert [row[1] for row in table.rows if row[0] == "Losses"] == ["w/o L_n", "w/o L_m", "w/o L_a", "w/o L_c"]
    assert [row[1] for row in table.rows if row[0] == "Steps"] == ["T = 5", "T = 10", "T = 20", "T = 50", "T = 100"]
    assert [row[1] for row in table.rows if row[0] == "Mask"] == ["Last mask M_1", "M_disc only", "M_recon only"]
    assert [row[1] for row in table.rows if row[0] == "Further"] == ["mine"]
    there = column(table, ("VisA Det.", "Δ published"))
    assert named(table, "w/o L_n")[there].value == -31.8
    inputs = [row[there] for row in table.rows if row[0] == "Inputs"]
    assert [cell.rank for cell in inputs] == [1, 0]  # -1.4 and -1.2
    assert [row[there].rank for row in table.rows if row[0] == "Losses"] == [0, 0, 0, 0]  # three are not known
    here = column(table, ("VisA Det.", "Δ measured"))
    full, without = (
        Measured(rows, settings).average("visa", "image_auroc", Source(each)).value
        for each in ("full", "no_normal_loss")
    )
    assert named(table, "w/o L_n")[here].value == pytest.approx(without - full)
    assert named(table, "mine")[there] == Cell()


def test_a_difference_stands_on_the_categories_that_both_have(tmp_path, settings):
    full = write_metrics(tmp_path / "a.csv", settings)
    part = write_metrics(
        tmp_path / "b.csv", settings, ("steps_5",), skip=tuple(settings.datasets["visa"].categories[1:])
    )
    full.write_text(full.read_text() + "".join(part.read_text().splitlines(keepends=True)[1:]))
    rows = read_metrics(full)
    candle = rows.query("category == 'candle' and metric == 'image_auroc'").set_index("variant")["value"] * 100
    cell = change(Measured(rows, settings), "visa", "image_auroc", Source("steps_5"))
    assert cell.value == pytest.approx(candle["steps_5"] - candle["full"])
    assert cell.mark == " (1/12)"


def test_differences_over_unlike_categories_are_not_compared():
    rows = [Ablation("Losses", name, name, None) for name in "ab"]
    one, other = Cell(-2.0, mark=" (1/12)"), Cell(-1.0, mark=" (2/12)")
    assert [cell.rank for cell in _largest(rows, [one, other])] == [0, 0]
    assert [cell.rank for cell in _largest(rows, [one, replace(other, mark=one.mark)])] == [1, 0]


def test_published_differences_are_printed_derived_or_unknown():
    assert published_change("VisA", "w/o simulated mask", "Loc AUPRO").value == -8.6
    assert published_change("VisA", "w/o L_a", "Det AUROC").mark == "?"
    assert published_change("VisA", None, "Det AUROC") == Cell()


def test_table_5_reads_times_and_their_device(tmp_path, metrics, settings):
    timing = tmp_path / "timing.csv"
    timing.write_text("device,steps,batch,seconds_per_image\nNVIDIA H100,20,1,0.1234\n")
    table = table_of(5, metrics, settings, timing)
    assert table.rows[-1][2:5] == ["NVIDIA H100", "20", "1"]
    assert table.rows[-1][5].value == 0.1234
    assert table.rows[0][5].value == 0.34
    assert "Nothing is measured yet" in table_of(5, metrics, settings, tmp_path / "none.csv").notes[-1]
    timing.write_text("device,steps,batch\ncpu,20,1\n")
    with pytest.raises(UserError, match="seconds_per_image"):
        table_of(5, metrics, settings, timing)


def test_table_5_leaves_a_cell_empty_where_a_batch_did_not_fit(tmp_path, metrics, settings):
    timing = tmp_path / "timing.csv"
    lines = ["device,steps,batch,repeats,seconds_per_image", "NVIDIA H100,20,8,5,0.12", "NVIDIA H100,20,999,0,"]
    timing.write_text("\n".join(lines))
    table = table_of(5, metrics, settings, timing)
    assert (table.rows[-2][5].value, table.rows[-1][5].value) == (0.12, None)
    assert "| NVIDIA H100 | 20  | 999     |  " in markdown(table)
    assert "out of memory" in table.notes[-1] and "out of memory" in csv_text(table)
    timing.write_text("\n".join([lines[0], lines[2]]))  # none fits
    assert table_of(5, metrics, settings, timing).rows[-1][5].value is None
    for wrong in ("NVIDIA H100,20,8,5,", "NVIDIA H100,20,8,0,-1"):
        timing.write_text("\n".join([lines[0], wrong]))
        with pytest.raises(UserError, match="positive numbers"):
            table_of(5, metrics, settings, timing)


def test_table_8_takes_the_best_epoch_and_says_it_is_tuned(tmp_path, settings):
    rows = read_metrics(write_metrics(tmp_path / "metrics.csv", settings, points=("main", "epoch=500", "epoch=1000")))
    table = table_of(8, rows, settings)
    seen = rows.query("category == 'candle' and metric == 'image_auroc'").set_index("point")["value"] * 100
    row = named(table, "candle")
    assert row[-1].value == pytest.approx(seen.max())
    assert row[-2] == {"main": "1500", "epoch=500": "500", "epoch=1000": "1000"}[seen.idxmax()]
    assert row[2].value == pytest.approx(seen["main"])
    assert table.notes[0].startswith("Tuned on the test set")
    assert named(table, "average")[1].value == 99.0


def test_table_9_without_epochs_is_empty_and_says_why(metrics, settings):
    table = table_of(9, metrics, settings)
    assert all(row[-1].value is None for row in table.rows)
    assert "tables.checkpoint_epochs" in table.notes[-1]


def test_demo_has_its_own_datasets_and_no_published_columns(tmp_path):
    settings = paper_settings(tmp_path, DEMO)
    rows = read_metrics(write_metrics(tmp_path / "metrics.csv", settings, ("full", "untrained")))
    assert table_of(1, rows, settings).title.endswith("Demo B")
    assert table_of(7, rows, settings).title.endswith("Demo A")
    for number in (1, 2, 3, 4, 6, 7, 8, 9):
        table = table_of(number, rows, settings)
        assert not any("ublished" in text or "Release" in text for each in table.columns for text in each)
    table = table_of(3, rows, settings)
    assert [row[1] for row in table.rows] == ["TransFusion", "TransFusion (untrained)"]
    assert [row[2].rank for row in table.rows] == [1, 2]


def test_tables_can_be_made_before_anything_is_measured(tmp_path, settings):
    file = write_metrics(tmp_path / "metrics.csv", settings, variants=())
    files = write_tables(file, settings, tmp_path / "tables")
    assert {f"table{number}.{kind}" for number in range(1, 10) for kind in ("md", "tex", "csv")} <= {
        each.name for each in files
    }
    assert "Made from 0 of 27 runs" in (tmp_path / "tables/table3.md").read_text()


def test_there_is_no_table_10(tmp_path, metrics, settings):
    for name in ("table10", "table0", "table", "table_vsa", "3"):
        known = r"\(known: table1 … table9, table_mvtec_ad, table_visa\)"
        with pytest.raises(UserError, match=rf"^no such table '{name}' {known}$"):
            write_tables(metrics, settings, tmp_path, [name])
    assert not list(tmp_path.glob("table*"))


def test_a_file_that_is_no_table_is_refused_in_one_line(tmp_path, metrics, settings):
    text = tmp_path / "notes.md"
    text.write_text("A title\nwords\nwords, words, words\n")
    for read in (read_metrics, lambda file: gather([file], tmp_path / "out.csv", tmp_path / "out.json")):
        with pytest.raises(UserError, match=r"notes\.md: cannot be read") as refused:
            read(text)
        assert "\n" not in str(refused.value)
    with pytest.raises(UserError, match=r"notes\.md: cannot be read") as refused:
        table_of(5, metrics, settings, text)
    assert "\n" not in str(refused.value)


# Writers


@pytest.fixture(scope="module")
def all_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    file = write_metrics(folder / "metrics.csv", paper_settings(), ("full", "no_normal_loss"), skip=("pcb4",))
    tables = write_tables(file, paper_settings(), folder)
    return [*tables, *write_claims(file, paper_settings(), folder)]


def test_csv_has_numbers_only_and_as_many_rows(tmp_path, metrics, settings):
    table = table_of(3, metrics, settings)
    rows = list(csv.DictReader(csv_text(table).splitlines()))
    assert len(rows) == len(table.rows)
    measured = next(row for row in rows if row["Origin"] == "measured")
    assert float(measured["VisA: Det. AUROC"]) == pytest.approx(value_of(metrics, "visa", "average"), abs=1e-3)
    assert float(measured["VisA: Det. AUROC (low)"]) < float(measured["VisA: Det. AUROC"])
    fusion = next(row for row in rows if row["Method"] == "TransFusion")
    assert (fusion["VisA: Loc. AUPRO"], fusion["VisA: Loc. AUPRO (about)"]) == ("", "unknown")


def test_markdown_rows_have_as_many_cells_as_the_header(metrics, settings):
    lines = [line for line in markdown(table_of(4, metrics, settings)).splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    assert "**-1.4**" in "\n".join(lines)


def test_a_bar_in_a_name_does_not_break_markdown():
    table = Table("t", "T", [("", "Name"), ("", "Value")], [["a|b", Cell(1.0)]])
    assert r"a\|b" in markdown(table)


def test_latex_is_well_formed(all_files):
    for file in (each for each in all_files if each.suffix == ".tex"):
        text = file.read_text(encoding="utf-8")
        body = text.split(r"\begin{tabular}")[1].split(r"\end{tabular}")[0]
        columns = len(re.match(r"\{((?:p\{[^}]*\}|[lr])+)\}", body)[1].replace("p{0.7\\linewidth}", "l"))
        lines = [line for line in body.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
        assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {columns - 1}
        for rule in ("toprule", "midrule", "bottomrule"):
            assert rf"\{rule}" in body
        assert text.count(r"\begin{") == text.count(r"\end{")
        assert not re.search(r"[^\x00-\x7F]", text), "a letter that LaTeX may not know"


def test_latex_escapes_what_users_write():
    table = Table("t", "50 % & more_of #1", [("", "Name"), ("", "Value")], [["my_variant", Cell(1.0)]])
    assert r"50 \% \& more\_of \#1" in latex(table)
    assert r"my\_variant" in latex(table)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on this machine; the structure is tested")
def test_latex_compiles(all_files, tmp_path):
    inputs = "\n".join(f"\\input{{{file}}}\\clearpage" for file in all_files if file.suffix == ".tex")
    source = rf"\documentclass{{article}}\usepackage{{booktabs,graphicx}}\begin{{document}}{inputs}\end{{document}}"
    (tmp_path / "all.tex").write_text(source, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout[-2000:]
    assert "Float too large" not in result.stdout
    assert (tmp_path / "all.pdf").stat().st_size > 10_000


def test_the_commands_write_what_they_say(tmp_path, settings, monkeypatch):
    from typer.testing import CliRunner

    from tfcore.cli import app, report  # noqa: F401  (registers the commands)

    write_metrics(tmp_path / "metrics.csv", settings, points=("main", "lambda=0.5", "lambda=1.0"))
    params = ["--params", str(ROOT / "params.yaml"), "--metrics", "metrics.csv"]
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(app, ["tables", "table3", "--show", *params])
    assert shown.exit_code == 0, shown.output
    assert shown.output.count("| measured  ") == 1
    assert {path.name for path in (tmp_path / "results/tables").iterdir()} == {
        f"table3{ending}" for ending in (".md", ".tex", ".csv", "_intervals.md", "_intervals.tex")
    }
    assert CliRunner().invoke(app, ["claims", *params]).exit_code == 0
    assert (tmp_path / "results/tables/claims.csv").exists()
    assert CliRunner().invoke(app, ["figure", "lambda_sweep", *params]).exit_code == 0
    assert (tmp_path / "results/figures/lambda_sweep.png").exists()
    refused = CliRunner().invoke(app, ["figure", "losses", *params])
    assert isinstance(refused.exception, UserError)
    assert "--dataset" in str(refused.exception)

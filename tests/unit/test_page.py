"""The report page: what is on it, that it stands alone, and that unfinished benchmarks are a normal state."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from made_up import settings_of, write_results
from PIL import Image

from tfcore.report.page.charts import Bar, Line, difference_chart, line_chart, sparkline, strip, ticks
from tfcore.report.page.figure_list import page_figures
from tfcore.report.page.page import write_page
from tfcore.report.page.provenance import duration, summarise
from tfcore.report.page.table_views import page_table
from tfcore.report.table import Cell, Table
from tfcore.runtime.errors import UserError

SMALL = "run: {datasets: [mvtec_ad], variants: [full]}\ndatasets: {mvtec_ad: {categories: [bottle]}}\n"
SNAKEMAKE = "snakemake --cores 1"
VOID = {"meta", "link", "img", "input", "br", "circle", "path", "rect"}


class Reader(HTMLParser):
    """Collects elements and texts, and refuses tags that are closed in the wrong order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, {key: value or "" for key, value in attributes}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, {key: value or "" for key, value in attributes}))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip() and self.open[-1:] not in (["script"], ["style"]):
            self.texts.append(data.strip())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Reader]:
    root = tmp_path_factory.mktemp("made")
    settings = settings_of(root)
    write_results(root, settings)
    out = root / "results" / "report" / "index.html"
    write_page(root, settings, out, "snakemake --profile demo")
    return out, Reader(out.read_text(encoding="utf-8"))


def test_page_is_well_formed_with_unique_ids(made):
    _, page = made
    assert page.open == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_page_stands_alone(made):
    out, page = made
    sources = [attributes["src"] for _, attributes in page.elements if "src" in attributes]
    assert sources and all(source.startswith("data:") for source in sources)
    assert all(link.get("rel") == "icon" and link["href"].startswith("data:") for link in page.all("link"))
    text = out.read_text(encoding="utf-8")
    assert not re.search(r"@import|url\(", text)
    assert "fetch(" not in text


def test_every_section_is_there_and_every_inner_link_leads_somewhere(made):
    _, page = made
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    expected = "overview tables ablations sweeps categories failures training claims provenance reproduce"
    assert set(expected.split()) <= ids
    inner = {link["href"][1:] for link in page.all("a") if link.get("href", "").startswith("#")}
    assert inner <= ids
    assert {f"table{number}" for number in range(1, 10)} <= ids


def test_everything_seen_can_be_read_aloud(made):
    _, page = made
    assert all("alt" in image for image in page.all("img"))
    assert all(chart.get("role") == "img" and chart.get("aria-label") for chart in page.all("svg"))
    assert all(region.get("aria-label") for region in page.all("div") if region.get("role") == "region")
    assert page.all("html")[0]["lang"] == "en"
    sliders = [field for field in page.all("input") if field.get("type") == "range"]
    assert sliders and all(slider.get("aria-label") for slider in sliders)


def test_numbers_are_those_of_the_metrics(made):
    out, page = made
    import pandas as pd

    rows = pd.read_csv(out.parents[1] / "metrics.csv")
    chosen = rows[(rows.variant == "full") & (rows.point == "main") & (rows.metric == "image_auroc")]
    average = 100 * chosen[chosen.dataset == "visa"].groupby("category").value.mean().mean()
    assert f"{average:.1f}" in page.texts
    cells = {cell["data-v"] for cell in page.all("td") if "data-v" in cell}
    for value in chosen.value:
        assert f"{100 * value:.6g}" in cells


def test_published_numbers_stand_beside_measured_ones(made):
    _, page = made
    assert {"paper", "authors' release"} <= set(page.texts)
    assert {"98.5", "99.2"} <= set(page.texts)


def test_each_table_has_its_command(made):
    _, page = made
    commands = {text for text in page.texts if text.startswith("snakemake")}
    assert {f"snakemake --profile demo table{number}" for number in range(1, 10)} <= commands


def test_provenance_names_commit_device_and_cost(made):
    _, page = made
    assert "0123456789ab" in page.texts
    assert "made up" in page.texts
    assert "4.0 h" in page.texts  # two trainings of two hours


def test_cost_comes_from_the_records_of_the_jobs(tmp_path: Path):
    settings = settings_of(tmp_path, SMALL)
    write_results(tmp_path, settings, pictures=0)
    record = tmp_path / "logs/benchmarks/train_model/mvtec_ad/bottle/full/seed0.tsv"
    record.parent.mkdir(parents=True)
    record.write_text("s\tmax_rss\n5400.0\t2500.0\n", encoding="utf-8")
    write_page(tmp_path, settings, tmp_path / "page.html", SNAKEMAKE)
    page = Reader((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert {"train_model", "90 min", "2.5 GB", "Table 4 (ablations)"} <= set(page.texts)


def test_figures_are_named_and_those_beyond_the_limit_linked(tmp_path: Path, monkeypatch):
    folder = tmp_path / "results" / "figures"
    names = ("losses_visa.png", "reverse_process.png", "anomalies/visa_pipe_fryum.png", "losses_visa_small.png")
    for name in (*names, "my_own.png", "losses_other.png", "anomalies/visa_old.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (1500, 30)).save(folder / name)
    overlay = (
        "run: {datasets: [visa, visa_small]}\n"
        "datasets: {visa_small: {title: Small, layout: visa, categories: [candle]}, "
        "other: {title: Not selected, layout: visa, categories: [candle]}}\n"
    )
    settings, out = settings_of(tmp_path, overlay), tmp_path / "results" / "report" / "index.html"
    found = page_figures(folder, settings, out)
    titles = [figure["title"] for figure in found]
    assert titles == ["Reverse process", "Anomalies · VisA · pipe fryum", "Losses · VisA", "Losses · Small"]
    assert all(figure["source"].startswith("data:image/webp") for figure in found)
    assert found[1]["link"] == "../figures/anomalies/visa_pipe_fryum.png"
    monkeypatch.setattr("tfcore.report.page.figure_list.LIMIT", 1)
    assert [bool(figure["source"]) for figure in page_figures(folder, settings, out)] == [True, False, False, False]


def test_broken_figure_is_named(tmp_path: Path):
    (tmp_path / "losses_visa.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"losses_visa\.png.*make the figures again"):
        page_figures(tmp_path, settings_of(tmp_path / "settings"), tmp_path / "page.html")


def test_what_the_page_says_of_the_method_is_the_baselines(tmp_path: Path):
    overlay = (
        "run: {datasets: [mvtec_ad], variants: [short], sweep_variants: [short]}\ntables: {baseline: short}\n"
        "datasets: {mvtec_ad: {categories: [bottle]}}\n"
        "variants: {short: {protocol: release, train.epochs: 7, model.width: 32, score.lambda: 0.5}}\n"
    )
    settings = settings_of(tmp_path, overlay)
    write_results(tmp_path, settings, pictures=0)
    write_page(tmp_path, settings, tmp_path / "page.html", SNAKEMAKE)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "7 epochs at 256 px, width 32" in text
    assert "protocol <b>release</b>" in text
    assert "Image AUROC over λ, the setting used is 0.5" in text


def test_input_size_on_the_page_is_the_crop(made):
    _, page = made
    assert "1500 epochs at 224 px, width 64" in page.texts


def test_points_of_a_curve_on_the_page_stand_on_the_same_categories(tmp_path: Path):
    overlay = "run: {datasets: [mvtec_ad], variants: [full]}\ndatasets: {mvtec_ad: {categories: [bottle, cable]}}\n"
    settings = settings_of(tmp_path, overlay)
    write_results(tmp_path, settings, pictures=0)
    file = tmp_path / "results" / "metrics.csv"
    lines = file.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not (",cable," in line and ",lambda=0.5," in line) and ",average," not in line]
    file.write_text("\n".join(kept) + "\n", encoding="utf-8")
    write_page(tmp_path, settings, tmp_path / "page.html", SNAKEMAKE)
    page = Reader((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "MVTec AD (1/2 categories)" in page.texts  # λ
    assert "MVTec AD" in page.texts  # the filter


def test_same_input_gives_the_same_page(made, tmp_path: Path):
    out, _ = made
    again = out.with_name("again.html")
    write_page(out.parents[2], settings_of(tmp_path), again, "snakemake --profile demo")
    assert again.read_bytes() == out.read_bytes()


def test_page_without_data_shows_maps_and_says_what_is_missing(tmp_path: Path):
    settings = settings_of(tmp_path, SMALL)
    write_results(tmp_path, settings, pictures=1, images=False)
    out = tmp_path / "page.html"
    write_page(tmp_path, settings, out, SNAKEMAKE)
    text = out.read_text(encoding="utf-8")
    assert "The images themselves are not here" in text
    assert 'type="range"' not in text
    assert "Anomaly map, score" in text


def test_page_of_an_unfinished_benchmark(tmp_path: Path):
    settings = settings_of(tmp_path)
    write_results(tmp_path, settings, pictures=0)
    file = tmp_path / "results" / "metrics.csv"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0], *(line for line in lines[1:] if ",bottle,full,0,main" in line)]) + "\n")
    out = tmp_path / "page.html"
    write_page(tmp_path, settings, out, SNAKEMAKE)
    page = Reader(out.read_text(encoding="utf-8"))
    assert "not measured" in page.texts
    assert "1" in page.texts and any(text.startswith("of 3") for text in page.texts)
    assert "No anomaly maps yet." in page.texts


def test_page_without_metrics_is_a_clear_error(tmp_path: Path):
    with pytest.raises(UserError, match=r"metrics\.csv"):
        write_page(tmp_path, settings_of(tmp_path), tmp_path / "page.html", SNAKEMAKE)


def test_names_cannot_break_the_page(tmp_path: Path):
    overlay = (
        "run: {datasets: [mine], variants: [full, '<b>bold']}\nvariants: {'<b>bold': {score.kernel: 3}}\n"
        "datasets: {mine: {title: '<script>alert(1)</script>', layout: mvtec, categories: ['a<b&c']}}\n"
    )
    settings = settings_of(tmp_path, overlay)
    write_results(tmp_path, settings)
    out = tmp_path / "page.html"
    write_page(tmp_path, settings, out, SNAKEMAKE)
    text = out.read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert "<b>bold" not in text
    assert Reader(text).open == []


def test_pictures_become_fewer_where_they_would_not_fit(tmp_path: Path, monkeypatch):
    settings = settings_of(tmp_path)
    write_results(tmp_path, settings, pictures=3)
    sizes = []
    for limit in (12_000_000, 1):
        monkeypatch.setattr("tfcore.report.page.page.LIMIT", limit)
        write_page(tmp_path, settings, tmp_path / "page.html", SNAKEMAKE, examples=5)
        text = (tmp_path / "page.html").read_text(encoding="utf-8")
        sizes.append(text.count('<figure class="example">'))
    assert sizes == [3 * (5 + 4), 3 * (2 + 4)]


def test_examples_follow_their_rule(tmp_path: Path):
    from tfcore.report.figures.test_images import read_samples
    from tfcore.report.page.examples import gallery
    from tfcore.runs.run import Run

    settings = settings_of(tmp_path, SMALL)
    write_results(tmp_path, settings, pictures=1)
    item = gallery(read_samples(Run("mvtec_ad", "bottle"), settings, tmp_path), 4, 64)
    notes = [example.chosen for example in item.typical]
    assert notes[:3] == ["scratch: median score of 4", "hole: median score of 2", "good: median score of 4"]
    assert len(notes) == 4
    good = [example for example in item.failures if not example.anomalous]
    bad = [example for example in item.failures if example.anomalous]
    assert good[0].score >= good[1].score
    assert bad[0].score <= bad[1].score
    assert bad[0].rank >= max(example.rank for example in item.typical if example.anomalous)
    assert item.separated == (bad[0].score > good[0].score)
    assert [example.chosen for example in item.failures] == [
        *("highest-scored normal", "second highest-scored normal"),
        *("lowest-scored anomalous", "second lowest-scored anomalous"),
    ]


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (96.3, 99.1), (-31.8, 0.4), (5.0, 5.0)])
def test_ticks_span_the_values(low, high):
    marks = ticks(low, high)
    assert marks[0] <= low and marks[-1] >= high
    assert 2 <= len(marks) <= 8
    assert marks == sorted(set(marks))


def test_charts_put_larger_values_higher_and_mark_the_best():
    chart = line_chart([Line("a", [(0, 1.0), (1, 3.0), (2, 2.0)])], "x", "y", "label", chosen=1)
    heights = [float(y) for y in re.findall(r'cy="([\d.]+)"', chart)]
    assert heights[1] < heights[2] < heights[0]
    assert chart.count('class="best') == 1
    assert "(best)" in chart.split('class="best')[1][:200]


def test_charts_of_nothing_are_empty():
    assert line_chart([Line("a", [])], "x", "y", "label") == ""
    assert sparkline([], "label") == ""
    assert difference_chart([Bar("a", None, None)], "label") == ""


def test_difference_chart_tells_measured_from_published_and_from_missing():
    chart = difference_chart([Bar("a", -2.0, -4.0), Bar("b", None, 1.0)], "label")
    assert chart.count('class="worse"') == 1
    assert chart.count('class="published"') == 2
    assert "not measured" in chart


def test_strip_says_its_numbers():
    assert 'aria-label="paper: 99.2; measured: 98.9"' in strip(98.9, 98.5, 99.3, [("paper", 99.2)])


def test_every_point_of_a_curve_is_read_aloud():
    chart = line_chart([Line("VisA & more", [(0.0, 90.0), (0.5, 91.5)])], "λ", "image AUROC", "the sweep")
    label = re.search('aria-label="(.*?)"', chart)[1]
    assert label == "the sweep: VisA &amp; more, λ 0: 90.00; VisA &amp; more, λ 0.5: 91.50 (best)"


def test_low_seconds_are_the_better_ones_and_can_be_shown_as_differences():
    columns = [("", name) for name in ("Origin", "Method", "Seconds per image")]
    rows = [["published", "TransFusion", Cell(0.34, digits=2)], ["measured", "TransFusion", Cell(0.02, digits=2)]]
    shown = page_table(Table("table5", "Inference time", columns, rows, [], [1]), "table5")
    assert shown.low_is_better and [name for _, name in shown.references] == [
        "Published: TransFusion",
        "Measured: TransFusion",
    ]
    assert shown.references[shown.reference][1].startswith("Published")


def test_records_that_cannot_be_read_are_left_out(tmp_path: Path):
    for seed, text in enumerate(("{broken", '{"stage": "train", "seconds": 5}')):
        folder = tmp_path / f"results/checkpoints/d/c/v/seed{seed}"
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(text, encoding="utf-8")
    origin = summarise(tmp_path)
    assert origin.records == 1  # whether or not the checkpoint itself is here
    assert [(stage, sum(times)) for (stage, _), times in origin.seconds.items()] == [("train", 5.0)]


@pytest.mark.parametrize(("seconds", "text"), [(3.21, "3.2 s"), (48, "48 s"), (720, "12 min"), (12240, "3.4 h")])
def test_durations_read_well(seconds, text):
    assert duration(seconds) == text

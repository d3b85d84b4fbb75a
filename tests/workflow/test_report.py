"""Snakemake's own report of a finished benchmark: every table and figure, with caption and labels."""

import html
import json
import re
import shlex
import shutil

from pages import ROOT

FIGURES = ("reconstructions", "failures", "examples", "losses")
DATASETS = ("demo_mvtec", "demo_visa")


def test_report_has_every_table_and_figure_with_caption_and_labels(repository):
    repository.run("snakemake", "--report", "report.html")
    page = (repository.folder / "report.html").read_text(encoding="utf-8")
    captions = dict(re.findall(r'"(results/[^"]+)": \{"name".*?"caption": "((?:[^"\\]|\\.)*)"', page))
    pictures = {f"results/figures/{name}_{dataset}.png" for name in FIGURES for dataset in DATASETS}
    pictures |= {f"results/figures/{name}.png" for name in ("lambda_sweep", "kernel_sweep", "reverse_process")}
    tables = {f"results/tables/table{number}.md" for number in range(1, 10)}
    assert set(captions) == pictures | tables | {"results/tables/claims.md"}
    assert all(captions.values())
    assert "Demo, VisA layout" in captions["results/tables/table1.md"]
    labels = [json.loads(found) for found in re.findall(r'"labels": (\{[^{}]*\})', page)]
    assert {each["table"] for each in labels if "table" in each} == {"claims", *map(str, range(1, 10))}
    assert {each["dataset"] for each in labels if each.get("figure") == "failures"} == set(DATASETS)


def test_page_offers_the_command_that_makes_its_tables(repository):
    folder = repository.folder / "runs/mine"
    folder.mkdir(parents=True)
    for name in ("data", "results", "work", ".snakemake"):
        (repository.folder / name).rename(folder / name)
    (repository.folder / "mine.yaml").write_text("datasets: {demo_visa: {title: Mine}}\n", encoding="utf-8")
    config = ("--config", "datasets={demo_mvtec: {title: Not yours}}")
    repository.make("--directory", "runs/mine", "--configfile", "mine.yaml", *config, "--", "report")
    page = (folder / "results/report/index.html").read_text(encoding="utf-8")
    commands = [shlex.split(html.unescape(text)) for text in re.findall(r"<code>(snakemake .*?)</code>", page)]
    targets = {command[-1] for command in commands}
    assert {"all_tables", "report", "table1", "table9"} <= targets
    table1 = next(command for command in commands if command[-1] == "table1")
    assert "Nothing to be done" in repository.run(*table1).stderr


def test_every_link_of_the_page_leads_to_a_file(finished):
    page = finished.folder / "results/report/index.html"
    links = re.findall(r'(?:href|src)="(\.\./[^"#]+)"', page.read_text(encoding="utf-8"))
    assert len(links) > 30
    assert not [link for link in links if not (page.parent / link).exists()]


def test_the_page_is_kept_for_the_browser_tests(finished):
    shown = ROOT / "runs/tests/results"
    shutil.rmtree(shown, ignore_errors=True)
    for name in ("report", "tables", "figures"):
        shutil.copytree(finished.folder / "results" / name, shown / name)
    assert (shown / "report/index.html").exists()

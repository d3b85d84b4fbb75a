"""Mistakes on the command line are one line that names the file or the known names, whatever went wrong."""

import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import tfcore.cli

ROOT = Path(__file__).parents[2]
FIXTURE = str(ROOT / "tests/golden/tiny_release_fixture.safetensors")
PARAMS = ("--params", str(ROOT / "params.yaml"))


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Return a function that runs the command line in an empty folder and gives exit code and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["tfcore", *words])
        with pytest.raises(SystemExit) as done:
            tfcore.cli.main()
        return done.value.code or 0, capsys.readouterr().err

    return call


def test_help_lists_every_stage():
    from tfcore.cli import bench, data, operations, report, run, score  # noqa: F401  # each registers its commands

    shown = CliRunner().invoke(tfcore.cli.app, ["--help"], terminal_width=100)
    assert shown.exit_code == 0
    stages = "fetch check-data pack pack-textures train infer score-run sweep-run gather tables claims figure report"
    assert set(stages.split()) <= set(re.findall(r"^\W*([a-z-]+) ", shown.stdout, re.MULTILINE))


@pytest.mark.parametrize("command", ["train", "infer", "score-run", "sweep-run", "gallery"])
@pytest.mark.parametrize(
    ("option", "value", "known"),
    [("dataset", "vsa", "visa"), ("category", "caps", "pcb1"), ("variant", "nope", "full")],
)
def test_unknown_names_are_told_with_the_known_ones(run, command, option, value, known):
    names = {"dataset": "visa", "category": "capsules", "variant": "full"} | {option: value}
    words = [word for name, given in names.items() for word in (f"--{name}", given)]
    code, error = run(command, *(["anomalies"] if command == "gallery" else []), *words, *PARAMS)
    assert code == 1 and error.count("\n") == 1
    assert error.startswith(f"error: no such {option} '{value}'") and known in error


@pytest.mark.parametrize(
    "words",
    [
        ("fetch", "--dataset", "vsa"),
        ("check-data", "vsa"),
        ("pack", "--dataset", "vsa", "--category", "capsules"),
        ("figure", "losses", "--dataset", "vsa"),
        ("figure", "examples", "--dataset", "vsa"),
    ],
)
def test_unknown_dataset_is_told_alike_everywhere(run, words):
    code, error = run(*words, *PARAMS)
    assert code == 1 and error.count("\n") == 1
    assert error.startswith("error: no such dataset 'vsa' (known: mvtec_ad, visa)")


@pytest.mark.parametrize("words", [("check-data", "visa"), ("pack", "--dataset", "visa")])
def test_unknown_category_is_told_before_data_are_read(run, words):
    code, error = run(*words, "--category", "caps", *PARAMS)
    assert code == 1 and error.startswith("error: no such category 'caps' in visa (known: candle, ")


@pytest.mark.parametrize(
    ("words", "known"),
    [
        (("predict", "photo.png", "--checkpoint", "model.safetensors", "--device", "gpu"), "cuda"),
        (("gallery", "textures", "--dataset", "visa", "--category", "capsules"), "foregrounds"),
    ],
)
def test_unknown_choice_is_told_with_the_known_ones(run, words, known):
    code, error = run(*words)
    assert code == 2 and known in error


def test_negative_seed_is_refused(run):
    code, error = run("train", "--dataset", "visa", "--category", "capsules", "--seed", "-1")
    assert code == 2 and "'--seed'" in error


def test_file_in_the_place_of_a_folder_is_one_line(run, tmp_path):
    (tmp_path / "taken").touch()
    code, error = run("convert-release", FIXTURE, "--out", "taken")
    assert (code, error) == (1, "error: taken: File exists\n")
    code, error = run("demo-data", "--out", "taken")
    assert code == 1 and error.startswith("error: taken") and error.count("\n") == 1


def test_text_in_another_encoding_is_one_line(run, tmp_path):
    (tmp_path / "files.txt").write_bytes("café.csv\n".encode("latin-1"))
    code, error = run("gather", "--files-from", "files.txt", *PARAMS)
    assert code == 1 and "not UTF-8 text" in error and error.count("\n") == 1


PREDICT = ("predict", "photo.png", "--checkpoint", "model.safetensors")


def test_kernel_of_a_prediction_is_odd(run, tmp_path):
    (tmp_path / "mine.yaml").write_text("score: {kernel: 4}\n")
    code, error = run(*PREDICT, *PARAMS, "--params", "mine.yaml")
    assert code == 2 and error.endswith("mine.yaml: score.kernel: must be odd (found 4)\n") and error.count("\n") == 1


def test_lambda_and_kernel_of_a_prediction_are_those_of_the_settings(run, monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr("tfcore.predict.predict", lambda *arguments: seen.append(arguments[3].score))
    (tmp_path / "mine.yaml").write_text("score: {lambda: 0.5, kernel: 3}\n")
    assert run(*PREDICT, *PARAMS)[0] == run(*PREDICT, *PARAMS, "--params", "mine.yaml")[0] == 0
    assert [(score.lambda_, score.kernel) for score in seen] == [(0.95, 7), (0.5, 3)]

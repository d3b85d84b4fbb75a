from pathlib import Path

from tfcore.runs.record import finish_record, installed_version, read_record, source_commit, start_record
from tfcore.runs.run import Run
from tfcore.runtime.files import read_json


def test_record_says_what_was_run_and_names_no_host_or_absolute_path(tmp_path: Path) -> None:
    run = Run("visa", "capsules", "full", 3)
    record = start_record(run, "train", {"version": 7, "train": {"epochs": 1}}, pack_sha256="ab")
    finish_record(record, tmp_path / "run.json", model_sha256="cd")
    written = read_json(tmp_path / "run.json")
    assert written["run_id"] == "visa/capsules/full/seed3"
    assert written["version"] == 7
    assert written["inputs"] == {"pack_sha256": "ab"}
    assert written["model_sha256"] == "cd"
    assert written["exit"] == 0
    assert written["seconds"] >= 0
    text = (tmp_path / "run.json").read_text()
    assert str(tmp_path) not in text
    assert __import__("socket").gethostname() not in [value for value in written.values() if isinstance(value, str)]


def test_commit_is_that_of_the_checkout() -> None:
    assert source_commit()["commit"] is None or len(source_commit()["commit"]) == 40


def test_package_that_is_not_installed_has_no_version() -> None:
    assert installed_version("torch")
    assert installed_version("no-such-package") is None


def test_record_that_is_missing_or_damaged_is_none(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    assert read_record(file) is None
    for content in (b"", b"[]", b"{not", b"\xff"):
        file.write_bytes(content)
        assert read_record(file) is None
    file.write_text('{"stage": "train"}')
    assert read_record(file) == {"stage": "train"}

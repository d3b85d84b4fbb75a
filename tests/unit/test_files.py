from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tfcore.runtime.files import replacing, replacing_folder, sha256_of, write_json


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    write_json(path, {"a": 1})
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert '"a": 1' in path.read_text()
    assert [file.name for file in tmp_path.iterdir()] == ["out.json"]


def test_a_failed_folder_leaves_the_old_folder(tmp_path: Path) -> None:
    path = tmp_path / "pack"
    with replacing_folder(path) as temporary:
        (temporary / "images.npy").write_text("whole")
    with pytest.raises(RuntimeError), replacing_folder(path) as temporary:
        (temporary / "images.npy").write_text("half")
        raise RuntimeError
    assert (path / "images.npy").read_text() == "whole"
    assert [folder.name for folder in tmp_path.iterdir()] == ["pack"]


def test_two_writers_of_a_folder_leave_one_whole_folder(tmp_path: Path) -> None:
    path = tmp_path / "packed"

    def write(writer: int) -> None:
        with replacing_folder(path) as temporary:
            for name in ("a", "b"):
                (temporary / name).write_text(str(writer))

    for _ in range(10):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(write, range(8)))
        assert (path / "a").read_text() == (path / "b").read_text()
    assert list(tmp_path.iterdir()) == [path]


def test_sha256_is_the_standard_one(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    assert sha256_of(tmp_path / "empty").startswith("e3b0c44298fc1c14")

"""Fetching from local copies and archives: linked or extracted safely, never half."""

import io
import os
import shutil
import tarfile
import zipfile

import pytest
from small_data import make_mvtec, settings

from tfcore.data import archives
from tfcore.data.archives import extract
from tfcore.data.content import content_of
from tfcore.data.fetch import fetch
from tfcore.data.layouts import find_category
from tfcore.runtime.errors import UserError
from tfcore.runtime.files import read_json, sha256_of
from tfcore.settings.sections import Archive, TextureSettings


def tar(path, *members):
    """Write a tar archive of (name, content or TarInfo type, link target)."""
    with tarfile.open(path, "w:xz" if path.suffix == ".xz" else "w") as file:
        for name, content, *link in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes) and link:
                info.type, info.linkname = content, link[0]
                file.addfile(info)
            else:
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
    return path


def archive_of(folder, path):
    kind = {".tar": "tar", ".xz": "xztar", ".zip": "zip"}[path.suffix]
    made = shutil.make_archive(str(path.parent / "made"), kind, folder)
    return path.parent / shutil.move(made, path)


def test_a_local_folder_is_linked_and_may_be_read_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shared = make_mvtec(tmp_path / "shared")
    for path in [shared, *shared.rglob("*")]:
        path.chmod(path.stat().st_mode & ~0o222)
    target = fetch("set", settings(local="shared"))
    assert target.is_symlink()
    assert str(target.readlink()) == "../../shared"  # relative, so that the working directory can be moved
    assert len(find_category(target, "part", settings()).samples) == 9
    assert read_json("data/raw/set.json") == {"name": "set", "local": "shared", "content": content_of(shared)}
    for path in [shared, *shared.rglob("*")]:
        path.chmod(path.stat().st_mode | 0o200)


def test_a_folder_elsewhere_is_linked_by_its_full_path(tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    make_mvtec(tmp_path / "shared")
    assert str(fetch("set", settings(local="../shared")).readlink()) == str(tmp_path / "shared")


def test_the_link_is_replaced_and_the_old_folder_never_touched(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one, two = make_mvtec(tmp_path / "one"), make_mvtec(tmp_path / "two")
    archive_of(two, tmp_path / "two.tar")
    fetch("set", settings(local="one"))
    fetch("set", settings(local="two"))
    assert (tmp_path / "data/raw/set").resolve() == two
    fetch("set", settings(local="two.tar"))
    assert not (tmp_path / "data/raw/set").is_symlink()
    fetch("set", settings(local="one"))
    for folder in (one, two, tmp_path / "data/raw/set"):
        assert len(list(folder.rglob("*.png"))) == 12
    assert sorted(path.name for path in (tmp_path / "data/raw").iterdir()) == ["set", "set.json"]


def pictures_in(folder):
    return len(list(folder.rglob("*.png")))


@pytest.mark.parametrize("local", ["data/raw/set", "{here}/data/raw/set", "data/raw/../raw/set", "elsewhere/raw/set"])
def test_data_put_where_fetched_ones_go_are_used_as_they_are(local, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mine = make_mvtec(tmp_path / "data/raw/set")
    (tmp_path / "elsewhere").symlink_to(tmp_path / "data")
    local = local.format(here=tmp_path)
    for _ in range(2):
        fetch("set", settings(local=local))
        assert not mine.is_symlink() and pictures_in(mine) == 12
        assert len(find_category("data/raw/set", "part", settings()).samples) == 9
        assert read_json("data/raw/set.json") == {"name": "set", "local": local, "content": content_of(mine)}


@pytest.mark.parametrize("local", ["data/raw/set/inner", "data/raw/set/set.tar"])
@pytest.mark.parametrize("fetched", [False, True])
def test_a_local_copy_inside_the_place_of_fetched_data_is_refused(local, fetched, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / "data/raw/set"
    if fetched:
        archive_of(make_mvtec(tmp_path / "source"), tmp_path / "set.tar")
        fetch("set", settings(local="set.tar"))
    archive_of(make_mvtec(mine / "inner"), mine / "set.tar")
    before = content_of(mine)
    message = f"set: `local` {local} lies inside data/raw/set, .*; move it elsewhere, or set `local` to data/raw/set "
    with pytest.raises(UserError, match=message):
        fetch("set", settings(local=local))
    assert content_of(mine) == before and not mine.is_symlink()


@pytest.mark.parametrize("local", ["other", "other.tar", None])
def test_data_that_were_not_fetched_are_never_replaced(local, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mine = make_mvtec(tmp_path / "data/raw/set")
    archive_of(make_mvtec(tmp_path / "other"), tmp_path / "other.tar")
    archive = Archive(urls=["http://127.0.0.1:9/set.tar"])  # not asked: that would be another message
    with pytest.raises(UserError, match="data/raw/set: is here, but was not fetched; set `local` of set to "):
        fetch("set", settings(local=local, archive=archive))
    assert pictures_in(mine) == 12 and not (tmp_path / "data/raw/set.json").exists()


def test_what_was_extracted_is_replaced_though_its_marker_is_gone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    archive_of(make_mvtec(tmp_path / "source"), tmp_path / "set.tar")
    for local in ("set.tar", "set.tar", "source"):
        fetch("set", settings(local=local))
        (tmp_path / "data/raw/set.json").unlink()  # as Snakemake does before a job
    assert (tmp_path / "data/raw/set").resolve() == tmp_path / "source"


@pytest.mark.parametrize("name", ["set.tar", "set.tar.xz", "set.zip"])
def test_a_local_archive_is_extracted_and_kept(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = archive_of(make_mvtec(tmp_path / "source"), tmp_path / name)
    source = settings(local=name, archive=Archive(keep=False))
    assert len(find_category(fetch("set", source), "part", settings()).samples) == 9
    assert read_json("data/raw/set.json") == {"name": "set", "local": name, "archive_sha256": sha256_of(path)}
    assert path.exists()


@pytest.mark.parametrize("keep", [True, False])
def test_a_downloaded_archive_is_kept_or_removed(keep, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = archive_of(make_mvtec(tmp_path / "source"), tmp_path / "set.tar")
    there = tmp_path / "data/raw/archives/set/set.tar"
    there.parent.mkdir(parents=True)
    shutil.copy(made, there)
    archive = Archive(urls=["http://127.0.0.1:9/set.tar"], sha256=sha256_of(made), bytes=made.stat().st_size, keep=keep)
    fetch("set", settings(archive=archive))
    assert there.exists() == keep


def test_a_damaged_download_may_be_deleted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = archive_of(make_mvtec(tmp_path / "source"), tmp_path / "set.tar.xz")
    there = tmp_path / "data/raw/archives/set/set.tar.xz"
    there.parent.mkdir(parents=True)
    there.write_bytes(made.read_bytes()[: made.stat().st_size // 2])
    archive = Archive(urls=["http://127.0.0.1:9/set.tar.xz"], sha256=sha256_of(there), bytes=there.stat().st_size)
    with pytest.raises(UserError, match=r"set\.tar\.xz: damaged archive \(.*\); delete it and fetch again"):
        fetch("set", settings(archive=archive))


def test_an_archive_that_is_not_the_official_one_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    archive_of(make_mvtec(tmp_path / "source"), tmp_path / "set.tar")
    fetch("set", settings(local="set.tar", archive=Archive(sha256="0" * 64)))
    assert "is not the official archive" in capsys.readouterr().out


def test_textures_come_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    with pytest.raises(UserError, match="textures: `local` mine is an empty folder"):
        fetch("textures", TextureSettings(local="mine"))
    (tmp_path / "mine/a.png").touch()
    assert fetch("textures", TextureSettings(local="mine")).resolve() == tmp_path / "mine"


def test_other_content_of_a_local_folder_is_noticed_and_other_times_are_not(tmp_path):
    folder = make_mvtec(tmp_path / "folder")
    before = content_of(folder)
    for path in folder.rglob("*"):
        os.utime(path, (1, 1))
    assert content_of(folder) == before
    assert content_of(shutil.copytree(folder, tmp_path / "copy")) == before
    (folder / "part/train/good/000.png").write_bytes(b"another")
    changed = content_of(folder)
    (folder / "part/train/good/001.png").rename(folder / "part/train/good/901.png")
    assert len({before, changed, content_of(folder)}) == 3
    assert content_of(folder / "part/train/good/000.png") != content_of(folder / "part/train/good/002.png")


def test_a_local_copy_that_does_not_exist_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"set: `local` nowhere does not exist"):
        fetch("set", settings(local="nowhere"))


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (("../evil", b"content"), "outside the target folder"),
        (("/etc/evil", b"content"), "outside the target folder"),
        (("a/../../evil", b"content"), "outside the target folder"),
        (("..\\evil", b"content"), "outside the target folder"),
        (("link", tarfile.SYMTYPE, "/etc"), "a link or a special file"),
        (("link", tarfile.LNKTYPE, "good.txt"), "a link or a special file"),
        (("device", tarfile.CHRTYPE, ""), "a link or a special file"),
    ],
)
def test_a_tar_that_reaches_out_is_refused(member, message, tmp_path):
    (tmp_path / "out").mkdir()
    path = tar(tmp_path / "evil.tar", ("good.txt", b"good"), member)
    with pytest.raises(UserError, match=rf"evil\.tar: refused, .*{message}"):
        extract(path, tmp_path / "out")
    assert [entry.name for entry in (tmp_path / "out").iterdir()] == ["good.txt"]
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize("kind", ["outside", "link"])
def test_a_zip_that_reaches_out_is_refused(kind, tmp_path):
    (tmp_path / "out").mkdir()
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        info = zipfile.ZipInfo("../evil" if kind == "outside" else "link")
        info.external_attr = (0o120777 if kind == "link" else 0o100644) << 16
        file.writestr(info, "/etc")
    with pytest.raises(UserError, match="refused"):
        extract(tmp_path / "evil.zip", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("name", ["set.tar", "set.tar.xz", "set.zip"])
def test_a_damaged_archive_leaves_what_was_there(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = archive_of(make_mvtec(tmp_path / "source"), tmp_path / name)
    fetch("set", settings(local=name))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=rf"{name}: ") as caught:
        fetch("set", settings(local=name))
    assert "delete" not in str(caught.value)  # it is the user's own
    assert len(list((tmp_path / "data/raw/set").rglob("*.png"))) == 12
    assert sorted(entry.name for entry in (tmp_path / "data/raw").iterdir()) == ["set", "set.json"]


def test_what_is_no_archive_is_named(tmp_path):
    (tmp_path / "page.tar").write_text("<html>")
    with pytest.raises(UserError, match=r"page\.tar: neither a tar nor a zip"):
        extract(tmp_path / "page.tar", tmp_path)


@pytest.mark.parametrize("kind", ["tar", "tar.xz", "zip"])
def test_a_full_disk_is_noticed_beforehand(kind, tmp_path, monkeypatch):
    (tmp_path / "source").mkdir()
    (tmp_path / "source/zeros").write_bytes(bytes(1_000_000))  # compresses well: the archive itself would fit
    path = archive_of(tmp_path / "source", tmp_path / f"big.{kind}")
    usage = shutil.disk_usage(tmp_path)._replace(free=archives.RESERVE + 500_000)
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: usage)
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match=rf"no space for big\.{kind}: .*; make space"):
        extract(path, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("zeros"))

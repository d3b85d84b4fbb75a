"""Fetching: a data set's folder appears as ``data/raw/{name}``, from a local copy or from an archive."""

import os
import shutil
from pathlib import Path

from tfcore.data.archives import extract
from tfcore.data.content import content_of
from tfcore.data.download import download
from tfcore.runtime.errors import UserError
from tfcore.runtime.files import replacing_folder, sha256_of, write_json
from tfcore.settings.sections import DatasetSettings, TextureSettings

RAW = Path("data/raw")
MARK = ".fetched"  # in every folder that was extracted here; what has none is somebody's own and is never removed


def fetch(name: str, source: DatasetSettings | TextureSettings, folder: Path | str = RAW) -> Path:
    """Make ``folder/name`` hold the data and write the marker ``folder/name.json``; return ``folder/name``.

    A local folder is linked, never copied or written to, and used as it is where it is ``folder/name`` itself; an
    archive, local or downloaded, is extracted. Raises `UserError` when there is nothing to fetch from, no address
    works, the content is wrong, the disk too small, or somebody's own data are in the way.
    """
    target = Path(folder) / name
    marker = target.with_name(f"{name}.json")
    local = Path(source.local).expanduser() if source.local is not None else None
    if local is not None and not local.exists():
        raise UserError(f"{name}: `local` {local} does not exist; correct it, or set it to null to download")
    if local is not None and local.is_dir() and not any(local.iterdir()):
        raise UserError(f"{name}: `local` {local} is an empty folder; correct it, or set it to null to download")
    target.parent.mkdir(parents=True, exist_ok=True)
    in_place = local is not None and not target.is_symlink() and target.is_dir() and local.samefile(target)
    if target.exists() and not target.is_symlink() and not in_place:  # of a link only the link goes
        _check_place(name, local, target)
    if local is not None and local.is_dir():
        if not in_place:
            _link(local, target)
        write_json(marker, {"name": name, "local": source.local, "content": content_of(local)})
        return target
    archive = local or download(name, source.archive, target.parent / "archives" / name)
    sha256 = sha256_of(archive)
    if local is not None and source.archive.sha256 not in (None, sha256):
        print(f"note: {name}: {local} is not the official archive; check-data tells whether it is complete")
    with replacing_folder(target) as temporary:
        if local is None:
            extract(archive, temporary, "delete it and fetch again")
        else:
            extract(archive, temporary)  # the user's own file: nothing to delete
        (temporary / MARK).touch()
        if target.is_symlink():
            target.unlink()  # an earlier local folder: only the link goes
    write_json(marker, {"name": name, "local": source.local, "archive_sha256": sha256})
    if local is None and not source.archive.keep:
        archive.unlink()
    return target


def _check_place(name: str, local: Path | None, target: Path) -> None:
    """Refuse to replace a folder that `local` is part of, or that no earlier fetch has extracted."""
    if local is not None and local.resolve().is_relative_to(target.resolve()):
        raise UserError(
            f"{name}: `local` {local} lies inside {target}, the place of what is fetched; move it elsewhere, or set "
            f"`local` to {target} to use that folder as it is"
        )
    if not (target / MARK).exists():
        raise UserError(
            f"{target}: is here, but was not fetched; set `local` of {name} to {target} to use it as it is, or move it "
            "away"
        )


def _link(local: Path, target: Path) -> None:
    """Make ``target`` a link to a folder; relative inside the working directory, so that both can be moved."""
    here, there = Path.cwd().resolve(), local.resolve()
    inside = there.is_relative_to(here) and target.resolve().is_relative_to(here)
    destination = Path(os.path.relpath(there, target.parent.resolve())) if inside else there
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(destination, target_is_directory=True)
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)  # what an earlier fetch extracted
    temporary.replace(target)

"""What a local copy holds, told without reading it."""

from pathlib import Path

from tfcore.runtime.files import digest


def content_of(local: Path) -> str:
    """Return a digest of the names and sizes of a folder's files, or of one file.

    Not of times: a copy made again is the same. A file replaced by another of the very same size is not noticed.
    """
    folder, files = (local, sorted(local.rglob("*"))) if local.is_dir() else (local.parent, [local])
    return digest([(path.relative_to(folder).as_posix(), path.stat().st_size) for path in files if path.is_file()])

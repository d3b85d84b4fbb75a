"""Extracting archives: only regular files inside the target, and only while they fit on the disk."""

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from tfcore.runtime.errors import UserError
from tfcore.runtime.progress import Progress

RESERVE = 50_000_000  # bytes that stay free on the disk


def extract(archive: Path, folder: Path, remedy: str = "get a whole copy of it") -> None:
    """Extract a tar (plain, gz, xz, bz2) or zip archive into ``folder``, with progress on stderr.

    Raises `UserError` that names the archive when it is damaged or of another kind, when a member would land outside
    ``folder`` or is a link or device, or when the disk has too little space. ``folder`` may then be left half filled.
    ``remedy`` is what the message advises for a damaged archive.
    """
    _check_space(archive, folder, archive.stat().st_size)  # a tar that is not compressed holds no more than that
    try:
        if zipfile.is_zipfile(archive):
            _extract_zip(archive, folder)
        elif tarfile.is_tarfile(archive):
            _extract_tar(archive, folder)
        else:
            raise UserError(f"{archive}: neither a tar nor a zip archive")
    except (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError, NotImplementedError) as error:
        raise UserError(f"{archive}: damaged archive ({error}); {remedy}") from error


def _extract_tar(archive: Path, folder: Path) -> None:
    # One pass: to know the sizes of all members beforehand, a compressed tar would have to be decompressed twice.
    size = archive.stat().st_size
    with archive.open("rb") as raw, tarfile.open(fileobj=raw) as file, Progress(f"extract {archive.name}", size) as bar:
        for member in file:
            _check_member(archive, member.name, member.isreg() or member.isdir())
            _check_space(archive, folder, member.size)
            file.extract(member, folder, filter="data")
            bar.update(raw.tell(), size)


def _extract_zip(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as file:
        for member in file.infolist():
            kind = stat.S_IFMT(member.external_attr >> 16)
            _check_member(archive, member.filename, kind in (0, stat.S_IFREG, stat.S_IFDIR))
            if member.flag_bits & 1:
                raise UserError(f"{archive}: encrypted; extract it yourself and give the folder as `local`")
        _check_space(archive, folder, sum(member.file_size for member in file.infolist()))
        file.extractall(folder)


def _check_member(archive: Path, name: str, regular: bool) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if not regular:
        raise UserError(f"{archive}: refused, '{name}' is a link or a special file")
    if path.is_absolute() or ".." in path.parts or (path.parts and path.parts[0].endswith(":")):
        raise UserError(f"{archive}: refused, '{name}' would be written outside the target folder")


def _check_space(archive: Path, folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed + RESERVE > free:
        raise UserError(
            f"{folder}: no space for {archive.name}: {needed / 1e9:.2f} GB more needed, {free / 1e9:.2f} GB free; "
            "make space, or extract it elsewhere and give that folder as `local`"
        )

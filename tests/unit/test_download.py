"""Downloads from a real server on the loopback address that misbehaves in the ways that servers do."""

import errno
import fcntl
import hashlib
import os
import pty
import re
import select
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from tfcore.data import http
from tfcore.data.download import download
from tfcore.runtime.errors import UserError
from tfcore.runtime.progress import Progress
from tfcore.settings.sections import Archive

CONTENT = np.random.default_rng(0).bytes(300_000)
SIZE = len(CONTENT)
STOP = 131_072
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT; the path says how."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.requests.append((self.path, self.headers.get("Range")))
        mode = self.path.split("/")[1]
        body = {"wrong": CONTENT[::-1], "page": b"<html>gone</html>"}.get(mode, CONTENT)
        if mode == "missing":
            self.send_error(404)
            return
        if mode.startswith("busy") and len(self.server.requests) <= int(mode[4:]):
            self.send_error(503 if len(self.server.requests) % 2 else 429)
            return
        asked = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked and mode != "noranges" else 0
        if start >= len(body):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(body)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.send_header("ETag", '"one"')
        self.end_headers()
        if mode in ("breaks", "noranges", "dies"):  # breaks off after STOP bytes, the second without ranges once only
            first = mode == "breaks" or (mode == "dies" and not start) or len(self.server.requests) == 1
            self.wfile.write(body[start : start + STOP] if first else b"" if mode == "dies" else body[start:])
            self.close_connection = True
        elif mode == "slow":
            for position in range(start, len(body), 60_000):
                self.wfile.write(body[position : position + 60_000])
                time.sleep(0.05)
        elif mode == "asleep":
            time.sleep(0.5)
            self.close_connection = True
        elif mode == "stalls":
            self.wfile.write(body[start : start + STOP])
            time.sleep(0.6)
            self.close_connection = True
        else:
            self.wfile.write(body[start:])

    def log_message(self, *_):
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requests = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def get(server, folder, *modes, sha256=SHA256, size=SIZE):
    urls = [f"http://127.0.0.1:{server.server_port}/{mode}/data.tar" for mode in modes]
    return download("set", Archive(urls=urls, sha256=sha256, bytes=size), folder, attempts=3, timeout=0.3, pause=0)


@pytest.mark.parametrize("mode", ["good", "breaks", "slow", "stalls", "noranges"])
def test_gets_the_file_from_a_server_that(mode, server, tmp_path):
    file = get(server, tmp_path, mode)
    assert file.read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["data.tar"]


def test_a_busy_server_is_asked_again_with_growing_pauses(server, tmp_path, monkeypatch):
    pauses = []
    monkeypatch.setattr(http.time, "sleep", pauses.append)
    url = f"http://127.0.0.1:{server.server_port}/busy3/data.tar"
    archive = Archive(urls=[url], sha256=SHA256, bytes=SIZE)
    assert download("set", archive, tmp_path, attempts=4, pause=2).read_bytes() == CONTENT
    assert pauses == [2, 4, 6]


def test_a_server_that_stays_busy_is_left_for_the_next_address(server, tmp_path):
    assert get(server, tmp_path, "busy9", "good").read_bytes() == CONTENT
    assert [path.split("/")[1] for path, _ in server.requests] == ["busy9"] * 3 + ["good"]
    server.requests.clear()
    (tmp_path / "data.tar").unlink()
    with pytest.raises(UserError, match=r"/busy9/data\.tar \(HTTP status 503\)"):
        get(server, tmp_path, "busy9")


def test_a_server_that_is_slower_than_the_limit_is_left_for_the_next_address(server, tmp_path):
    assert get(server, tmp_path, "asleep", "good").read_bytes() == CONTENT
    assert [path.split("/")[1] for path, _ in server.requests] == ["asleep"] * 3 + ["good"]


def test_a_broken_download_goes_on_where_it_stopped(server, tmp_path):
    get(server, tmp_path, "breaks")
    assert [asked for _, asked in server.requests] == [None, "bytes=131072-", "bytes=262144-"]


def test_a_later_run_goes_on_with_the_part_of_an_earlier_one(server, tmp_path):
    with pytest.raises(UserError, match="broke off"):
        get(server, tmp_path, "dies")
    assert (tmp_path / "data.tar.part").stat().st_size == STOP
    server.requests.clear()
    assert get(server, tmp_path, "good").read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == ["bytes=131072-"]


def test_addresses_are_tried_in_order(server, tmp_path):
    assert get(server, tmp_path, "missing", "page", "wrong", "good").read_bytes() == CONTENT
    assert [path.split("/")[1] for path, _ in server.requests] == ["missing", "page", "wrong", "good"]


def test_a_bad_part_from_one_address_does_not_spoil_the_next(server, tmp_path):
    (tmp_path / "data.tar.part").write_bytes(b"rubbish")
    assert get(server, tmp_path, "good").read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_dropped(server, tmp_path):
    (tmp_path / "data.tar.part").write_bytes(CONTENT + b"more")
    assert get(server, tmp_path, "good", size=None).read_bytes() == CONTENT


def test_without_a_hash_an_old_part_is_not_trusted(server, tmp_path):
    (tmp_path / "data.tar.part").write_bytes(b"rubbish")
    assert get(server, tmp_path, "good", sha256=None, size=None).read_bytes() == CONTENT


def test_a_good_file_is_kept_and_nothing_downloaded(server, tmp_path):
    (tmp_path / "data.tar").write_bytes(CONTENT)
    get(server, tmp_path, "missing")
    assert server.requests == []


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT[::-1]], ids=["size", "hash"])
def test_a_wrong_file_that_was_already_there_is_replaced(content, server, tmp_path):
    (tmp_path / "data.tar").write_bytes(content)
    assert get(server, tmp_path, "good").read_bytes() == CONTENT


def test_all_addresses_dead_is_one_message_with_all_that_helps(server, tmp_path):
    with pytest.raises(UserError) as caught:
        get(server, tmp_path, "missing", "wrong", "page")
    message = str(caught.value)
    assert "\n" not in message
    for part in ("/missing/data.tar (HTTP status 404)", "/wrong/data.tar (a file with another sha256)", "17 bytes"):
        assert part in message
    assert SHA256 in message
    assert "`local`" in message
    assert not (tmp_path / "data.tar").exists()


def test_a_full_disk_is_noticed_before_downloading(server, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=SIZE - 1)
    monkeypatch.setattr(http.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UserError, match="300000 bytes to download, 299999 bytes free; make space"):
        get(server, tmp_path, "good")


def test_two_processes_do_not_write_the_same_part(server, tmp_path):
    with (tmp_path / "data.tar.part").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UserError, match=r"data\.tar\.part: another process is downloading it"):
            get(server, tmp_path, "good")


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_written_all_the_same(number, server, tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    assert get(server, tmp_path, "good").read_bytes() == CONTENT


def test_a_log_file_gets_lines_with_speed_and_time_left(capsys):
    with Progress("data.tar", SIZE, log_seconds=0) as progress:
        progress.update(0, SIZE)
        time.sleep(0.01)
        progress.update(SIZE // 2, SIZE)
    assert re.search(r"data\.tar: 0 of 0 MB, \d+\.\d MB/s, 0 min left\n$", capsys.readouterr().err)


def test_a_terminal_gets_a_bar_with_speed_and_time_left(monkeypatch):
    reading, writing = pty.openpty()
    with os.fdopen(writing, "w") as terminal:
        for name, value in (("TERM", "xterm"), ("COLUMNS", "100")):
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "stderr", terminal)
        with Progress("data.tar", 4_000_000) as progress:
            for done in (1_000_000, 2_000_000, 3_000_000):
                progress.update(done, 4_000_000)
                time.sleep(0.05)
        seen = b""
        while select.select([reading], [], [], 0)[0]:  # a terminal hands out a few kilobytes at a time
            seen += os.read(reading, 100_000)
    os.close(reading)
    text = re.sub(r"\x1b\[[\d;?]*\w", "", seen.decode())
    assert re.search(r"data\.tar .*3\.0/4\.0 MB.* \d+\.\d MB/s.*\d:\d\d:\d\d", text)


def test_a_server_that_is_down(tmp_path):
    archive = Archive(urls=["http://127.0.0.1:9/data.tar"], sha256=SHA256)
    with pytest.raises(UserError, match="no connection"):
        download("set", archive, tmp_path, attempts=2, timeout=0.3, pause=0)


def test_no_address_at_all(tmp_path):
    with pytest.raises(UserError, match="neither `local` nor"):
        download("set", Archive(), tmp_path)

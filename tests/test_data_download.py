"""fetch(), against a server on this machine that misbehaves in every way we know."""

import hashlib
import io
import os
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pooch
import pytest
from rich.console import Console

from numcnn.data import DownloadError, fetch
from numcnn.data.progress import DownloadBar

NAME = "digits.bin"
GOOD = bytes(range(256)) * 1200
SHA256 = hashlib.sha256(GOOD).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves by path: each path is one way to succeed or to fail."""

    def do_GET(self):
        self.server.asked.append(self.path)
        path = self.path.partition("?")[0]
        if path == "/missing":
            self.send_error(404)
            return
        if path == "/hung":
            self.server.released.wait(20)
            return
        self.send_response(200)
        if path != "/nolength":
            self.send_header("Content-Length", str(len(GOOD)))
        self.end_headers()
        if path == "/cut":
            self.wfile.write(GOOD[: len(GOOD) // 2])
        elif path == "/stalled":
            self.wfile.write(GOOD[: len(GOOD) // 2])
            self.server.released.wait(20)
        elif path == "/corrupt":
            self.wfile.write(b"?" + GOOD[1:])
        else:
            self.wfile.write(GOOD)

    def log_message(self, *args):
        """Keep the test output quiet."""


@pytest.fixture
def server(monkeypatch):
    # A proxy that the environment names must not stand between the test and its own server.
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    for name in ("NUMCNN_OFFLINE", "NUMCNN_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.asked, server.released = [], threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def closed_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def fetch_from(server, folder, *paths, known_hash=SHA256, timeout=5.0):
    urls = [path if path.startswith("http") else server.url + path for path in paths]
    return fetch(NAME, urls, known_hash, folder, timeout=timeout)


@pytest.mark.parametrize("path", ["/good", "/nolength"])
def test_a_good_file(server, tmp_path, path):
    folder = tmp_path / "deep" / "cache"
    result = fetch_from(server, folder, path, "/good")
    assert result == folder / NAME
    assert result.read_bytes() == GOOD
    assert os.listdir(folder) == [NAME]
    assert server.asked == [path]


def test_a_file_in_the_cache_asks_nobody(server, tmp_path, monkeypatch):
    fetch_from(server, tmp_path, "/good")
    server.asked.clear()
    assert fetch_from(server, tmp_path, "/good") == tmp_path / NAME
    monkeypatch.setenv("NUMCNN_OFFLINE", "1")
    assert fetch_from(server, tmp_path, "/good") == tmp_path / NAME
    assert server.asked == []


def test_md5_and_capitals(server, tmp_path):
    md5 = hashlib.md5(GOOD).hexdigest()
    fetch_from(server, tmp_path, "/good", known_hash=f"md5:{md5}")
    server.asked.clear()
    fetch_from(server, tmp_path, "/good", known_hash=f"md5:{md5}")
    fetch_from(server, tmp_path, "/good", known_hash=SHA256.upper())
    assert server.asked == []


@pytest.mark.parametrize("bad", ["/corrupt", "/cut", "/missing", "/hung", "/stalled"])
def test_the_second_mirror_helps(server, tmp_path, bad):
    result = fetch_from(server, tmp_path, bad, "/good", timeout=0.3)
    assert result.read_bytes() == GOOD
    assert os.listdir(tmp_path) == [NAME]
    assert server.asked == [bad, "/good"]


def test_a_closed_port_then_a_good_mirror(server, tmp_path, closed_port):
    result = fetch_from(server, tmp_path, f"http://127.0.0.1:{closed_port}/x", "/good")
    assert result.read_bytes() == GOOD


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/corrupt", "does not match"),
        ("/cut", "IncompleteRead|does not match"),
        ("/missing", "404"),
        ("/hung", "[Tt]imed? ?out"),
        ("/stalled", "[Tt]imed? ?out"),
    ],
)
def test_when_all_fail_the_error_tells_all(server, tmp_path, monkeypatch, path, reason):
    monkeypatch.setenv("NUMCNN_DATA_DIR", str(tmp_path / "mine"))
    folder = tmp_path / "cache" / "digits"
    start = time.monotonic()
    with pytest.raises(DownloadError, match=reason) as caught:
        fetch_from(server, folder, path, path + "?again", timeout=0.3)
    assert time.monotonic() - start < 8  # the server itself would hang for 20 seconds, twice
    text = str(caught.value)
    assert isinstance(caught.value, OSError)
    lines = text.splitlines()
    assert lines[0].startswith(NAME)
    # Each URL stands on its own line with its own reason.
    for url in (server.url + path, server.url + path + "?again"):
        assert any(
            line.strip().startswith(f"{url}: ") and len(line) > len(url) + 10 for line in lines
        )
    assert str(tmp_path / "mine" / "digits") in text
    assert str(folder) in lines[-1]
    # Nothing was kept, whole or in part.
    assert os.listdir(folder) == []


def test_no_network(server, tmp_path, closed_port):
    url = f"http://127.0.0.1:{closed_port}/{NAME}"
    with pytest.raises(DownloadError) as caught:
        fetch_from(server, tmp_path / "digits", url)
    text = str(caught.value)
    for part in (NAME, url, "efused", "NUMCNN_DATA_DIR", "unset", str(tmp_path / "digits")):
        assert part in text


@pytest.mark.parametrize("value", ["1", "true", "yes"])
def test_offline_asks_nobody(server, tmp_path, monkeypatch, value):
    monkeypatch.setenv("NUMCNN_OFFLINE", value)
    with pytest.raises(DownloadError) as caught:
        fetch_from(server, tmp_path / "digits", "/good")
    for part in (NAME, f"NUMCNN_OFFLINE={value}", server.url + "/good", str(tmp_path / "digits")):
        assert part in str(caught.value)
    assert server.asked == []
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("value", ["", "0", "false"])
def test_offline_can_be_switched_off(server, tmp_path, monkeypatch, value):
    monkeypatch.setenv("NUMCNN_OFFLINE", value)
    assert fetch_from(server, tmp_path, "/good").read_bytes() == GOOD


def test_a_damaged_file_in_the_cache_is_replaced(server, tmp_path):
    (tmp_path / NAME).write_bytes(GOOD[:-1])
    assert fetch_from(server, tmp_path, "/good").read_bytes() == GOOD
    (tmp_path / NAME).write_bytes(GOOD[:-1])
    with pytest.raises(DownloadError, match="cached copy did not match"):
        fetch_from(server, tmp_path, "/missing")
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DownloadError, match="file"):
        fetch_from(server, tmp_path / "file" / "cache", "/good")
    assert server.asked == []


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "nonsense", "http://"])
def test_a_url_that_is_none(server, tmp_path, url):
    with pytest.raises(DownloadError, match=url):
        fetch(NAME, [url], SHA256, tmp_path)


@pytest.mark.parametrize("known_hash", ["", None])
def test_nothing_is_fetched_unchecked(server, tmp_path, known_hash):
    with pytest.raises(ValueError, match="known hash"):
        fetch_from(server, tmp_path, "/good", known_hash=known_hash)
    assert server.asked == []


@pytest.mark.parametrize("path", ["/good", "/nolength"])
def test_the_progress_bar_shows_name_and_size(server, tmp_path, path):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120)
    with DownloadBar("the file's name", console) as bar:
        downloader = pooch.HTTPDownloader(progressbar=bar, chunk_size=1000, timeout=5)
        downloader(server.url + path, str(tmp_path / NAME), None)
        if path == "/good":
            assert bar.progress.tasks[0].completed == bar.total == len(GOOD)
    assert "the file's name" in screen.getvalue()
    if path == "/good":
        assert "307.2/307.2 kB" in screen.getvalue()


def test_fetch_shows_the_progress_bar_on_a_terminal(server, tmp_path, monkeypatch):
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=120)
    monkeypatch.setattr("numcnn.data.progress.Console", lambda **options: terminal)
    fetch_from(server, tmp_path, "/good")
    assert NAME in screen.getvalue() and "307.2/307.2 kB" in screen.getvalue()


def test_the_progress_bar_is_silent_where_there_is_no_terminal(server, tmp_path, capfd):
    fetch_from(server, tmp_path, "/good")
    assert "kB" not in capfd.readouterr().err

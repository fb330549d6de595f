"""Download a file from the first mirror that has it, and keep it only if its hash is right."""

import os
from collections.abc import Sequence
from pathlib import Path

from numcnn.data.locate import DATA_DIR, data_folder

OFFLINE = "NUMCNN_OFFLINE"
# Seconds to connect, and seconds without a single byte before a mirror counts as hung.
TIMEOUT = (10.0, 30.0)
PIECE = 1 << 16


class DownloadError(OSError):
    """No mirror gave the file; the text says why, and where to put it by hand."""


def fetch(
    name: str,
    urls: Sequence[str],
    known_hash: str,
    folder: str | os.PathLike,
    *,
    timeout: float | tuple[float, float] = TIMEOUT,
) -> Path:
    """Return a verified file of the cache, downloading it if it is not there.

    Mirrors are tried in order. A download goes to a temporary name beside its final one and is
    moved there only after its hash was checked, so an interrupted or damaged download leaves
    nothing behind. A copy in the cache whose hash is wrong is removed and fetched again. A
    progress bar appears on standard error if that is a terminal.

    Parameters
    ----------
    name : str
        The file's name in `folder`.
    urls : sequence of str
        HTTP or HTTPS addresses of the same file.
    known_hash : str
        Its SHA-256 in hexadecimal, or another sum with the algorithm in front (``md5:...``).
    folder : path-like
        The cache folder; made if missing. Its last part is also the name of the folder below
        ``NUMCNN_DATA_DIR`` that the error text points to.
    timeout : float or (float, float)
        Seconds to connect and seconds to wait for the next byte.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    DownloadError
        If every mirror fails, or ``NUMCNN_OFFLINE`` is set and the file is not in the cache.
    ValueError
        If `known_hash` is empty: a file nobody can check is not fetched.
    """
    if not known_hash:
        raise ValueError(f"{name}: expected a known hash, got {known_hash!r}")
    folder = Path(folder).expanduser()
    target = folder / name
    notes = []
    try:
        if target.is_file():
            if _hash_is(target, known_hash):
                return target
            target.unlink(missing_ok=True)
            notes.append(f"{target}: the cached copy did not match {known_hash}, removed")
        if _offline():
            notes.append(f"{OFFLINE}={os.environ[OFFLINE]} forbids downloads; not tried:")
            notes += urls
            raise _failure(name, notes, folder)
        folder.mkdir(parents=True, exist_ok=True)
    except DownloadError:
        raise
    except OSError as error:
        raise _failure(name, [*notes, f"{folder}: {error}"], folder) from error
    for url in urls:
        try:
            return _download(name, url, known_hash, folder, timeout)
        # requests' errors are OSErrors; ValueError is pooch's hash mismatch or a malformed URL.
        except (OSError, ValueError) as error:
            notes.append(f"{url}: {_reason(error)}")
    raise _failure(name, notes, folder)


def _download(name, url, known_hash, folder, timeout):
    # Imported here because `import numcnn` should not wait for an HTTP client.
    import pooch

    from numcnn.data.progress import DownloadBar

    with DownloadBar(name) as bar:
        downloader = pooch.HTTPDownloader(progressbar=bar, chunk_size=PIECE, timeout=timeout)
        return Path(pooch.retrieve(url, known_hash, fname=name, path=folder, downloader=downloader))


def _hash_is(path, known_hash):
    import pooch

    algorithm, _, digest = known_hash.rpartition(":")
    return pooch.file_hash(str(path), alg=algorithm or "sha256") == digest.lower()


def _offline():
    return os.environ.get(OFFLINE, "").strip().lower() not in {"", "0", "false", "no", "off"}


def _reason(error):
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _failure(name, notes, folder):
    base = data_folder()
    if base is None:
        place = f"a folder {folder.name} inside a folder that {DATA_DIR} names (now unset)"
    else:
        place = f"{base / folder.name} ({DATA_DIR}; its content is not hash-checked)"
    lines = [f"{name} could not be downloaded:"]
    lines += [f"  {note}" for note in notes]
    lines += ["Fetch it some other way and put it into one of", f"  {place}", f"  {folder}"]
    return DownloadError("\n".join(lines))

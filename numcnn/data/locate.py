"""Find data files that are on this machine already."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

DATA_DIR = "NUMCNN_DATA_DIR"


def data_folder() -> Path | None:
    """Return the folder that ``NUMCNN_DATA_DIR`` names, or None if it is unset or empty."""
    value = os.environ.get(DATA_DIR)
    return Path(value).expanduser() if value else None


def cache_folder(dataset: str) -> Path:
    """Return the folder where downloads of a data set are kept (it may not exist yet)."""
    # Importing pooch takes longer than reading the bundled digits, which need no cache.
    import pooch

    return Path(pooch.os_cache("numcnn")).expanduser() / dataset


def candidate_folders(subfolders: Iterable[str], itself: bool = True) -> list[Path]:
    """List the existing folders in which a data set's files may lie.

    Parameters
    ----------
    subfolders : iterable of str
        Names to look for below ``NUMCNN_DATA_DIR``.
    itself : bool
        Whether files that lie in ``NUMCNN_DATA_DIR`` itself count.

    Returns
    -------
    list of Path
        ``NUMCNN_DATA_DIR`` itself first; empty if the variable is not set.
    """
    base = data_folder()
    if base is None:
        return []
    folders = [base] if itself else []
    folders += [base / name for name in subfolders]
    return [folder for folder in folders if folder.is_dir()]


def data_folder_is_fashion() -> bool:
    """Tell whether ``NUMCNN_DATA_DIR`` itself is a Fashion-MNIST folder, going by its name.

    The files of MNIST and of Fashion-MNIST have the same names and the same shapes, so only the
    folder's name keeps one from being served as the other.
    """
    base = data_folder()
    if base is None:
        return False
    base = base.resolve()
    # torchvision keeps the files in FashionMNIST/raw.
    return "fashion" in (base.parent if base.name == "raw" else base).name.lower()


def find_together(names: Sequence[str], folders: Iterable[Path]) -> list[Path] | None:
    """Find one folder that holds all of some files, each plain or with ``.gz``.

    Parameters
    ----------
    names : sequence of str
        The files' names without ``.gz``.
    folders : iterable of Path
        Where to look, in this order.

    Returns
    -------
    list of Path or None
        The files in the order of `names`; None if no folder holds any of them.

    Raises
    ------
    FileNotFoundError
        If a folder holds some of the files and none holds all: taking the rest from a download
        would mix a subset with a full set.
    """
    partial = None
    for folder in folders:
        found = [_plain_or_gzip(folder / name) for name in names]
        if all(found):
            return found
        if any(found) and partial is None:
            lacking = [name for name, path in zip(names, found, strict=True) if path is None]
            partial = folder, lacking
    if partial:
        folder, lacking = partial
        raise FileNotFoundError(
            f"{folder} lacks {', '.join(lacking)} (plain or .gz) beside "
            f"{', '.join(name for name in names if name not in lacking)}; "
            f"add what is missing, or move these files out of {DATA_DIR} to use a download"
        )
    return None


def _plain_or_gzip(path):
    for candidate in (path, path.with_name(path.name + ".gz")):
        if candidate.is_file():
            return candidate
    return None

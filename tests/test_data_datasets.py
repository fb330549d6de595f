"""digits(), mnist(), fashion_mnist(), cifar10(): shapes, types, and where files are found."""

import hashlib
import io
import re
import subprocess
import sys
import tarfile
from importlib import resources

import numpy as np
import pytest

from numcnn import data
from numcnn.data import datasets, sources
from numcnn.data.download import DownloadError
from numcnn.data.locate import candidate_folders, data_folder, find_together

SUMS = {
    "train-images-idx3-ubyte.gz": (
        "e47a6a9802b8413e302e3198afbe6d46d8303282fc942733e933373ee196efd7"
    ),
    "train-labels-idx1-ubyte.gz": (
        "430f8e0ee82b2594ce46c15fa0da15112998a6554abf9515b3b09604c4d40b66"
    ),
    "t10k-images-idx3-ubyte.gz": "3f79ca610d726c969becb1b592ae3aed527684cd9de00a3180c2312d772b5d6c",
    "t10k-labels-idx1-ubyte.gz": "aa166efde2c452d3d6b143794d8fe296e45e20ccd95b7a11cad120bf095946eb",
}
IDX_LOADERS = [(data.mnist, "mnist"), (data.fashion_mnist, "fashion-mnist")]


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    """NUMCNN_DATA_DIR set to an empty folder, no network, an empty cache."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("NUMCNN_DATA_DIR", str(folder))
    monkeypatch.setenv("NUMCNN_OFFLINE", "1")
    monkeypatch.setattr(datasets, "cache_folder", lambda name: tmp_path / "cache" / name)
    return folder


def write_idx_set(folder, seed, counts=(("train", 5), ("t10k", 3)), suffix=".gz"):
    """Write a small MNIST-like set; return its images and labels by stem."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    arrays = {}
    for stem, count in counts:
        images = rng.integers(0, 256, (count, 28, 28), np.uint8)
        labels = rng.integers(0, 10, count, np.uint8)
        data.write_idx(folder / f"{stem}-images-idx3-ubyte{suffix}", images)
        data.write_idx(folder / f"{stem}-labels-idx1-ubyte{suffix}", labels)
        arrays[stem] = images, labels
    return arrays


def cifar_records(seed, count):
    rng = np.random.default_rng(seed)
    records = rng.integers(0, 256, (count, 3073), np.uint8)
    records[:, 0] %= 10
    return records


def check_pair(pair, images, labels):
    x, y = pair
    assert x.dtype == np.float32 and y.dtype == np.int64
    assert x.flags.c_contiguous and x.flags.writeable
    np.testing.assert_array_equal(y, labels)
    np.testing.assert_array_equal(x.reshape(len(y), -1) * 255, images.reshape(len(y), -1))


def test_digits():
    (x_train, y_train), (x_test, y_test) = data.digits()
    assert x_train.shape == (12000, 1, 28, 28) and x_test.shape == (2000, 1, 28, 28)
    for x, y, each in ((x_train, y_train, 1200), (x_test, y_test, 200)):
        assert x.dtype == np.float32 and y.dtype == np.int64 and y.shape == (len(x),)
        assert x.min() == 0.0 and x.max() == 1.0
        assert 0.1 < x.mean() < 0.16  # MNIST's mean is 0.1307
        np.testing.assert_array_equal(np.bincount(y), [each] * 10)
        # Mixed, as in the original file, not sorted by class.
        assert (np.diff(y) != 0).mean() > 0.8


def test_digits_need_neither_network_nor_data_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMCNN_DATA_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("NUMCNN_OFFLINE", "1")
    monkeypatch.setattr(datasets, "fetch", lambda *args: pytest.fail("digits() wants a download"))
    assert len(data.digits(split="test")[0]) == 2000


@pytest.mark.parametrize("name", SUMS)
def test_the_bundled_values_are_unchanged(name):
    with resources.as_file(resources.files("numcnn.data") / "bundled" / name) as path:
        assert hashlib.sha256(data.read_idx(path).tobytes()).hexdigest() == SUMS[name]


@pytest.mark.parametrize(("stem", "each"), [("train", 1200), ("t10k", 200)])
def test_the_bundled_files_are_made_as_their_readme_says(stem, each):
    names = [f"{stem}-images-idx3-ubyte", f"{stem}-labels-idx1-ubyte"]
    paths = find_together(names, candidate_folders(("mnist", "MNIST/raw")))
    if paths is None:
        pytest.skip("NUMCNN_DATA_DIR has no MNIST")
    images, labels = map(data.read_idx, paths)
    if len(images) != {"train": 60000, "t10k": 10000}[stem]:
        pytest.skip(f"NUMCNN_DATA_DIR has a part of MNIST only: {len(images)} images")
    of_each = [np.flatnonzero(labels == digit) for digit in range(10)]
    spread = [places[np.arange(each) * places.size // each] for places in of_each]
    chosen = np.sort(np.concatenate(spread))
    for name, full in zip(names, (images, labels), strict=True):
        with resources.as_file(resources.files("numcnn.data") / "bundled" / f"{name}.gz") as path:
            np.testing.assert_array_equal(data.read_idx(path), full[chosen])


@pytest.mark.parametrize("load", [data.digits, data.mnist, data.fashion_mnist, data.cifar10])
@pytest.mark.parametrize("split", ["training", "", 0, True])
def test_an_unknown_split(load, split):
    with pytest.raises(ValueError, match=f"split .*got {split!r}"):
        load(split=split)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    ("load", "place"),
    [
        (data.mnist, "."),
        (data.mnist, "mnist"),
        (data.mnist, "MNIST/raw"),
        (data.fashion_mnist, "fashion-mnist"),
        (data.fashion_mnist, "fashion_mnist"),
        (data.fashion_mnist, "FashionMNIST/raw"),
    ],
)
def test_idx_sets_are_found_in_the_data_folder(data_dir, load, place, suffix):
    arrays = write_idx_set(data_dir / place, 1, suffix=suffix)
    train, test = load()
    check_pair(train, *arrays["train"])
    check_pair(test, *arrays["t10k"])
    assert train[0].shape == (5, 1, 28, 28)
    check_pair(load(split="train"), *arrays["train"])
    check_pair(load(split="test"), *arrays["t10k"])


def test_one_split_needs_only_its_own_files(data_dir):
    arrays = write_idx_set(data_dir / "mnist", 1, counts=[("t10k", 3)])
    check_pair(data.mnist(split="test"), *arrays["t10k"])
    with pytest.raises(DownloadError, match=r"train-images-idx3-ubyte\.gz"):
        data.mnist(split="train")


def test_mnist_is_never_served_as_fashion_mnist(data_dir, monkeypatch):
    write_idx_set(data_dir, 1)
    with pytest.raises(DownloadError):
        data.fashion_mnist()
    fashion = write_idx_set(data_dir / "fashion-mnist", 2)
    check_pair(data.fashion_mnist(split="train"), *fashion["train"])
    monkeypatch.setenv("NUMCNN_DATA_DIR", str(data_dir / "fashion-mnist"))
    check_pair(data.fashion_mnist(split="train"), *fashion["train"])
    with pytest.raises(DownloadError):
        data.mnist()


def test_half_a_split_is_an_error_not_a_download(data_dir):
    write_idx_set(data_dir / "mnist", 1)
    (data_dir / "mnist" / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"mnist lacks train-labels-idx1-ubyte .*beside"):
        data.mnist()


@pytest.mark.parametrize("place", [".", "cifar10", "cifar-10-batches-bin", "cifar10-subset"])
def test_cifar10_is_found_in_the_data_folder(data_dir, place):
    folder = data_dir / place
    folder.mkdir(exist_ok=True)
    batches = [cifar_records(seed, 2) for seed in range(6)]
    for number, batch in enumerate(batches[:5], 1):
        (folder / f"data_batch_{number}.bin").write_bytes(batch.tobytes())
    (folder / "test_batch.bin").write_bytes(batches[5].tobytes())
    train, test = data.cifar10()
    records = np.concatenate(batches[:5])
    check_pair(train, records[:, 1:], records[:, 0])
    check_pair(test, batches[5][:, 1:], batches[5][:, 0])
    assert train[0].shape == (10, 3, 32, 32)
    (folder / "data_batch_3.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks data_batch_3\.bin"):
        data.cifar10()


def write_cifar_archive(folder, batches):
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / sources.CIFAR10_ARCHIVE.name, "w:gz") as tar:
        for name, batch in batches.items():
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = batch.nbytes
            tar.addfile(info, io.BytesIO(batch.tobytes()))


def test_cifar10_from_an_archive_put_there_by_hand(data_dir):
    batch = cifar_records(9, 3)
    write_cifar_archive(data_dir / "cifar10", {"test_batch.bin": batch})
    check_pair(data.cifar10(split="test"), batch[:, 1:], batch[:, 0])


def test_cifar10_from_a_download(data_dir, tmp_path, monkeypatch):
    names = [*sources.CIFAR10_BATCHES["train"], *sources.CIFAR10_BATCHES["test"]]
    batches = {name: cifar_records(seed, 2) for seed, name in enumerate(names)}
    # In another order, which must not show in the result.
    write_cifar_archive(tmp_path / "served", dict(reversed(batches.items())))

    def fake_fetch(name, urls, known_hash, cache):
        assert known_hash == sources.CIFAR10_ARCHIVE.sha256
        assert cache == tmp_path / "cache" / "cifar10"
        return tmp_path / "served" / name

    monkeypatch.setattr(datasets, "fetch", fake_fetch)
    train, test = data.cifar10()
    records = np.concatenate([batches[name] for name in names[:5]])
    check_pair(train, records[:, 1:], records[:, 0])
    check_pair(test, batches[names[5]][:, 1:], batches[names[5]][:, 0])


@pytest.mark.parametrize(("load", "folder"), [*IDX_LOADERS, (data.cifar10, "cifar10")])
def test_nothing_here_and_offline(data_dir, load, folder):
    with pytest.raises(DownloadError) as caught:
        load()
    for part in ("NUMCNN_OFFLINE", str(data_dir / folder), "https://", f"cache/{folder}"):
        assert part in str(caught.value)


@pytest.mark.parametrize(("load", "folder"), IDX_LOADERS)
def test_what_is_not_here_is_fetched_with_its_own_sum(
    data_dir, tmp_path, monkeypatch, load, folder
):
    arrays = write_idx_set(tmp_path / "served", 3)
    asked = []

    def fake_fetch(name, urls, known_hash, cache):
        asked.append((name, known_hash))
        assert cache == tmp_path / "cache" / folder
        assert len(urls) >= 2 and all(url.endswith("/" + name) for url in urls)
        return tmp_path / "served" / name

    monkeypatch.setattr(datasets, "fetch", fake_fetch)
    train, test = load()
    check_pair(train, *arrays["train"])
    check_pair(test, *arrays["t10k"])
    table = {data.mnist: sources.MNIST, data.fashion_mnist: sources.FASHION_MNIST}[load]
    assert asked == [(file.name, file.sha256) for pair in table.values() for file in pair]


def test_every_source_has_two_mirrors_and_its_own_sum():
    files = [file for table in (sources.MNIST, sources.FASHION_MNIST) for file in table.values()]
    files = [file for pair in files for file in pair] + [sources.CIFAR10_ARCHIVE]
    assert len({file.sha256 for file in files}) == len(files) == 9
    for file in files:
        assert re.fullmatch("[0-9a-f]{64}", file.sha256)
        assert len({url.split("/")[2] for url in file.urls}) >= 2


@pytest.mark.parametrize(
    ("name", "array", "sentence"),
    [
        ("images-idx3", np.zeros((5, 28, 27), "u1"), r"images.*\(N, 28, 28\).*\(5, 28, 27\)"),
        ("images-idx3", np.zeros((5, 784), "u1"), r"images.*\(5, 784\)"),
        ("images-idx3", np.zeros((5, 28, 28), "i4"), r"images.*int32"),
        ("images-idx3", np.zeros((0, 28, 28), "u1"), r"images.*\(0, 28, 28\)"),
        ("labels-idx1", np.zeros(4, "u1"), r"labels.*expected 5 uint8 labels.*\(4,\)"),
        ("labels-idx1", np.zeros(5, "f4"), r"labels.*float32"),
        ("labels-idx1", np.array([0, 1, 10, 2, 3], "u1"), r"labels.*label 2 is 10"),
    ],
)
def test_the_structure_of_a_users_files_is_checked(data_dir, name, array, sentence):
    write_idx_set(data_dir / "mnist", 1)
    data.write_idx(data_dir / "mnist" / f"train-{name}-ubyte.gz", array)
    with pytest.raises(ValueError, match=sentence):
        data.mnist()


def test_the_real_mnist():
    names = [file.name.removesuffix(".gz") for pair in sources.MNIST.values() for file in pair]
    if find_together(names, candidate_folders(("mnist", "MNIST/raw"))) is None:
        pytest.skip("NUMCNN_DATA_DIR has no MNIST")
    x, y = data.mnist(split="test")
    if len(x) != 10000:
        pytest.skip(f"NUMCNN_DATA_DIR has a part of MNIST only: {len(x)} test images")
    np.testing.assert_array_equal(y[:10], [7, 2, 1, 0, 4, 1, 4, 9, 5, 9])
    assert x.mean() == pytest.approx(0.1325, abs=1e-4)


def test_the_real_cifar10():
    folders = candidate_folders(("cifar10", "cifar-10-batches-bin", "cifar10-subset"))
    if find_together(["test_batch.bin"], folders) is None:
        pytest.skip("NUMCNN_DATA_DIR has no CIFAR-10")
    x, y = data.cifar10(split="test")
    assert x.shape == (len(y), 3, 32, 32) and x.min() == 0 and x.max() == 1
    np.testing.assert_array_equal(y[:10], [3, 8, 8, 0, 6, 6, 1, 6, 3, 1])
    assert len(data.CIFAR10_CLASSES) == len(data.FASHION_MNIST_CLASSES) == 10


def test_an_empty_variable_is_as_good_as_none(monkeypatch):
    monkeypatch.setenv("NUMCNN_DATA_DIR", "")
    assert data_folder() is None and candidate_folders(("mnist",)) == []


def test_importing_the_data_package_imports_no_http_client():
    code = "import sys, numcnn.data; print({'pooch', 'requests'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_every_public_name_is_there():
    assert all(hasattr(data, name) for name in data.__all__)

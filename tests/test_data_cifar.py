"""CIFAR-10 record files, and the archive that holds them."""

import gzip
import io
import os
import tarfile
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest

from numcnn.data import read_cifar10
from numcnn.data.cifar import read_cifar10_archive

RECORD = 3073


def records(labels, seed=0):
    """Return file content for these labels, and the pixels in it."""
    pixels = np.random.default_rng(seed).integers(0, 256, (len(labels), 3072), np.uint8)
    return np.column_stack([np.array(labels, np.uint8), pixels]).tobytes(), pixels


def archive(path, members):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_records(tmp_path, pack):
    content, pixels = records([3, 0, 9, 9])
    path = tmp_path / "batch.bin"
    path.write_bytes(pack(content))
    images, labels = read_cifar10(path)
    assert images.dtype == labels.dtype == np.uint8
    assert images.shape == (4, 3, 32, 32) and images.flags.c_contiguous
    assert images.flags.writeable and labels.flags.writeable
    np.testing.assert_array_equal(labels, [3, 0, 9, 9])
    np.testing.assert_array_equal(images.reshape(4, 3072), pixels)
    # Red plane first, row by row: byte 1 + 1024 c + 32 h + w of the record.
    assert images[2, 1, 5, 7] == content[2 * RECORD + 1 + 1024 + 5 * 32 + 7]


@pytest.mark.parametrize("length", [1, 3072, 3074, 2 * RECORD - 1, 2 * RECORD + 1])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_size_that_is_no_multiple_shows_the_arithmetic(tmp_path, pack, length):
    path = tmp_path / "batch.bin"
    path.write_bytes(pack(records([1, 2, 3])[0][:length]))
    count, rest = divmod(length, RECORD)
    sentence = rf"batch\.bin: .*3,073.*found {length:,} bytes = {count} x 3,073 \+ {rest:,}$"
    with pytest.raises(ValueError, match=sentence):
        read_cifar10(path)


def test_an_empty_file(tmp_path):
    path = tmp_path / "batch.bin"
    path.touch()
    with pytest.raises(ValueError, match=r"batch\.bin: .*found 0 bytes"):
        read_cifar10(path)


@pytest.mark.parametrize("label", [10, 255])
def test_a_label_above_9_names_the_record(tmp_path, label):
    path = tmp_path / "batch.bin"
    path.write_bytes(records([9, 0, label, label])[0])
    with pytest.raises(ValueError, match=rf"batch\.bin: .*record 2 \(at byte 6,146\).* {label}$"):
        read_cifar10(path)


def test_cuts_of_a_gzip_file(tmp_path):
    packed = gzip.compress(records([1])[0], mtime=0)
    path = tmp_path / "batch.bin.gz"
    # Every cut in the header and the trailer, and a sample of those in the data.
    cuts = {*range(20), *range(20, len(packed), 97), *range(len(packed) - 12, len(packed))}
    for length in sorted(cuts):
        path.write_bytes(packed[:length])
        with pytest.raises(ValueError, match=r"batch\.bin\.gz: .*expected.*found"):
            read_cifar10(path)


def test_a_gzip_bomb_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr("numcnn.data.cifar.MAX_RECORDS", 100)
    packer = zlib.compressobj(9, wbits=31)
    content = b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
    path = tmp_path / "bomb.bin.gz"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"bomb\.bin\.gz: expected at most 100 records"):
            read_cifar10(path)
        assert tracemalloc.get_traced_memory()[1] < 8e6
    finally:
        tracemalloc.stop()


def test_the_archive_is_read_in_the_order_asked_for(tmp_path):
    one, two = records([1, 2], seed=1), records([3], seed=2)
    path = tmp_path / "cifar.tar.gz"
    archive(path, {"folder/readme.html": b"hi", "folder/b.bin": two[0], "folder/a.bin": one[0]})
    images, labels = read_cifar10_archive(path, ["a.bin", "b.bin"])
    np.testing.assert_array_equal(labels, [1, 2, 3])
    np.testing.assert_array_equal(images.reshape(3, -1), np.concatenate([one[1], two[1]]))
    assert sorted(os.listdir(tmp_path)) == ["cifar.tar.gz"]


def test_archive_errors(tmp_path):
    content = records([1, 2])[0]
    path = tmp_path / "cifar.tar.gz"
    archive(path, {"a.bin": content})
    with pytest.raises(ValueError, match=r"cifar\.tar\.gz: .*lacks b\.bin"):
        read_cifar10_archive(path, ["a.bin", "b.bin"])
    whole = path.read_bytes()
    for length in (0, 1, 10, 100, len(whole) // 2):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"cifar\.tar\.gz: .*damaged"):
            read_cifar10_archive(path, ["a.bin"])
    archive(path, {"a.bin": content[:-1]})
    with pytest.raises(ValueError, match=r"cifar\.tar\.gz \(a\.bin\): .*1 x 3,073 \+ 3,072"):
        read_cifar10_archive(path, ["a.bin"])


def test_the_real_files():
    folder = Path(os.environ.get("NUMCNN_DATA_DIR", "")) / "cifar10-subset"
    paths = sorted(folder.glob("*_batch*.bin*"))
    if not os.environ.get("NUMCNN_DATA_DIR") or not paths:
        pytest.skip("NUMCNN_DATA_DIR has no folder cifar10-subset")
    for path in paths:
        images, labels = read_cifar10(path)
        assert images.shape == (len(labels), 3, 32, 32)
        assert set(labels.tolist()) == set(range(10))
        # Photographs: neighbouring pixels are alike, which a wrong layout would destroy.
        planes = images.astype(np.float64)
        assert np.abs(np.diff(planes, axis=3)).mean() < 0.35 * planes.std()
        assert np.abs(np.diff(planes, axis=2)).mean() < 0.35 * planes.std()

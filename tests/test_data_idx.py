"""IDX files: what is written is read, and nothing else is."""

import gzip
import os
import struct
import tracemalloc
import zlib

import numpy as np
import pytest

from numcnn.data import read_idx, write_idx

DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: "i2", 0x0C: "i4", 0x0D: "f4", 0x0E: "f8"}
SHAPES = [(1,), (7,), (2, 3), (3, 2, 5), (2, 1, 3, 2), (0,), (0, 28, 28)]
# A 2 x 3 array of int16, written by hand.
SMALL = bytes.fromhex("00000b02 00000002 00000003 0001 0002 ffff 7fff 8000 0100")
SMALL_VALUES = [[1, 2, -1], [32767, -32768, 256]]


def sample(dtype, shape):
    """Return values that reach the ends of an integer type and survive any float type."""
    rng = np.random.default_rng(5)
    if np.dtype(dtype).kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    info = np.iinfo(dtype)
    array = rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    if array.size > 1:
        array.flat[0], array.flat[1] = info.min, info.max
    return array


@pytest.mark.parametrize("name", ["a.idx", "a.idx.gz"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("code", DTYPES)
def test_round_trip(tmp_path, code, shape, name):
    array = sample(DTYPES[code], shape)
    path = tmp_path / name
    write_idx(path, array)
    content = path.read_bytes()
    if name.endswith(".gz"):
        content = gzip.decompress(content)
    assert content[:4] == bytes([0, 0, code, len(shape)])
    assert len(content) == 4 + 4 * len(shape) + array.nbytes
    result = read_idx(path)
    assert result.dtype == array.dtype and result.dtype.isnative
    assert result.flags.c_contiguous and result.flags.writeable
    np.testing.assert_array_equal(result, array)


def test_a_file_written_by_hand(tmp_path):
    path = tmp_path / "small.idx"
    path.write_bytes(SMALL)
    np.testing.assert_array_equal(read_idx(path), SMALL_VALUES)
    write_idx(path, np.array(SMALL_VALUES, "<i2"))
    assert path.read_bytes() == SMALL


def test_any_layout_and_byte_order_is_written_row_major(tmp_path):
    array = np.arange(24, dtype=">i4").reshape(2, 3, 4)
    write_idx(tmp_path / "a", array.T)
    np.testing.assert_array_equal(read_idx(tmp_path / "a"), array.T)


def test_gzip_is_told_by_content_not_by_name(tmp_path):
    (tmp_path / "really_gzip.idx").write_bytes(gzip.compress(SMALL))
    (tmp_path / "really_plain.idx.gz").write_bytes(SMALL)
    for name in ("really_gzip.idx", "really_plain.idx.gz"):
        np.testing.assert_array_equal(read_idx(tmp_path / name), SMALL_VALUES)


def test_gzip_bytes_are_reproducible(tmp_path):
    for name in ("a.gz", "b.gz"):
        write_idx(tmp_path / name, np.arange(100, dtype="u1"))
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert (tmp_path / "a.gz").read_bytes()[4:8] == b"\0\0\0\0"  # no time of writing


@pytest.mark.parametrize("length", range(len(SMALL)))
def test_every_cut_of_a_plain_file(tmp_path, length):
    path = tmp_path / "cut.idx"
    path.write_bytes(SMALL[:length])
    with pytest.raises(ValueError, match=r"cut\.idx: .*expected.*found"):
        read_idx(path)


@pytest.mark.parametrize("length", range(len(SMALL)))
def test_every_cut_inside_a_sound_gzip(tmp_path, length):
    path = tmp_path / "cut.idx.gz"
    path.write_bytes(gzip.compress(SMALL[:length]))
    with pytest.raises(ValueError, match=r"cut\.idx\.gz: .*expected.*found"):
        read_idx(path)


@pytest.mark.parametrize("length", range(len(gzip.compress(SMALL, mtime=0))))
def test_every_cut_of_a_gzip_file(tmp_path, length):
    path = tmp_path / "cut.idx.gz"
    path.write_bytes(gzip.compress(SMALL, mtime=0)[:length])
    with pytest.raises(ValueError, match=r"cut\.idx\.gz: .*expected.*found"):
        read_idx(path)


def test_a_flipped_byte_in_a_gzip_file_is_never_served(tmp_path):
    packed = gzip.compress(SMALL, mtime=0)
    refused = 0
    for position in range(10, len(packed)):  # after the gzip header, which holds no data
        damaged = bytearray(packed)
        damaged[position] ^= 0x55
        path = tmp_path / "flipped.gz"
        path.write_bytes(damaged)
        try:
            np.testing.assert_array_equal(read_idx(path), SMALL_VALUES)
        except ValueError as error:
            assert "flipped.gz" in str(error)
            refused += 1
    assert refused > len(packed) // 2


@pytest.mark.parametrize(
    ("magic", "found"),
    [
        ("01000801", "01 00 08 01"),
        ("00010801", "00 01 08 01"),
        ("00000a01", "00 00 0a 01"),
        ("00000001", "00 00 00 01"),
        ("00000800", "found 0 "),
        ("00000821", "found 33 "),
        ("89504e47", "89 50 4e 47"),
    ],
)
def test_wrong_magic(tmp_path, magic, found):
    path = tmp_path / "magic.idx"
    path.write_bytes(bytes.fromhex(magic) + bytes(200))
    with pytest.raises(ValueError, match=rf"magic\.idx: expected .*{found}"):
        read_idx(path)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_trailing_bytes(tmp_path, pack):
    path = tmp_path / "long.idx"
    path.write_bytes(pack(SMALL + b"x"))
    with pytest.raises(
        ValueError, match=r"long\.idx: .*2 x 3 .*expected 12 bytes.*found (13|more)"
    ):
        read_idx(path)


def test_garbage_after_the_gzip_stream(tmp_path):
    path = tmp_path / "garbage.gz"
    path.write_bytes(gzip.compress(SMALL) + b"garbage")
    with pytest.raises(ValueError, match=r"garbage\.gz"):
        read_idx(path)


def peak_while_refused(path):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=path.name):
            read_idx(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_false_header_takes_no_memory(tmp_path, pack):
    path = tmp_path / "false_header"
    path.write_bytes(pack(struct.pack(">HBB3I", 0, 0x0E, 3, 2**32 - 1, 2**32 - 1, 9) + bytes(80)))
    assert peak_while_refused(path) < 8e6


def test_a_plain_file_of_the_wrong_size_is_not_even_read(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(struct.pack(">HBB1I", 0, 8, 1, 1 << 27))
    os.truncate(path, 1 << 26)
    assert peak_while_refused(path) < 8e6


def test_a_gzip_bomb_is_not_unpacked(tmp_path):
    # 256 MiB of zeros behind a header that promises 12 bytes.
    packer = zlib.compressobj(9, wbits=31)
    content = packer.compress(SMALL)
    for _ in range(256):
        content += packer.compress(bytes(1 << 20))
    path = tmp_path / "bomb.gz"
    path.write_bytes(content + packer.flush())
    assert path.stat().st_size < 1e6
    assert peak_while_refused(path) < 8e6


def test_no_data_but_impossible_shape(tmp_path):
    path = tmp_path / "shape.idx"
    path.write_bytes(struct.pack(">HBB4I", 0, 8, 4, 0, *[2**32 - 1] * 3))
    with pytest.raises(ValueError, match=r"shape\.idx"):
        read_idx(path)


@pytest.mark.parametrize(
    "array",
    [np.zeros(3, bool), np.zeros(3, "i8"), np.zeros(3, "f2"), np.zeros(3, "c8"), np.array(["a"])],
    ids=str,
)
def test_types_without_a_code_are_refused(tmp_path, array):
    path = tmp_path / "type.idx"
    with pytest.raises(ValueError, match=rf"type\.idx: IDX holds .*got {array.dtype}"):
        write_idx(path, array)
    assert not path.exists()


def test_a_scalar_is_refused(tmp_path):
    with pytest.raises(ValueError, match="got 0"):
        write_idx(tmp_path / "scalar.idx", np.float32(1))


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "none.idx")

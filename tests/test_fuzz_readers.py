"""Damaged, lying and foreign files: every reader reads what is there, or says what is wrong.

``tests/fuzz_readers.py`` looks for more with a fuzzer that sees which lines were reached.
"""

import gzip
import os
import pickle
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from checks_readers import (
    CIFAR,
    READERS,
    WEIGHTS,
    chunk,
    outcome,
    png,
    safetensors,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from numcnn import digit, memory
from numcnn.data import read_idx

quick = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
thorough = settings(quick, max_examples=5000)
every = pytest.mark.parametrize("name", READERS)


class Bomb:
    """Leaves a mark in the file system if somebody unpickles it."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return os.mkdir, (self.mark,)


@st.composite
def damaged(draw, sound):
    """Return one of the sound files with a few changes: bytes, a cut, a doubled or lost piece."""
    data = bytearray(draw(st.sampled_from(sound)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        size = draw(st.integers(0, 8))
        kind = draw(st.sampled_from(("set", "cut", "drop", "double", "fill")))
        if kind == "set":
            data[at : at + size] = draw(st.binary(min_size=size, max_size=size))
        elif kind == "cut":
            del data[at:]
        elif kind == "drop":
            del data[at : at + size]
        elif kind == "double":
            data[at:at] = data[at : at + size]
        else:
            data[at : at + size] = draw(st.sampled_from((b"\0", b"\xff", b"["))) * size
    return bytes(data)


def check(name, folder, how):
    reader = READERS[name]

    @how
    @given(st.one_of(damaged(reader.sound), st.binary(max_size=200)))
    def feed(data):
        outcome(reader, data, folder)

    feed()


@every
def test_every_reader_reads_its_sound_files(name, tmp_path):
    for data in READERS[name].sound:
        found = outcome(READERS[name], data, tmp_path)
        assert not isinstance(found, Exception), found


@every
def test_changed_bytes_are_read_or_explained(name, tmp_path):
    check(name, tmp_path, quick)


@pytest.mark.long
@pytest.mark.timeout(1800)
@every
def test_many_changed_bytes_are_read_or_explained(name, tmp_path):
    check(name, tmp_path, thorough)


# a file of these says how long it is
SELF_ENDING = {"idx", "cifar10", "weights", "checkpoint", "checkpoint-arrays"}


@every
def test_files_cut_at_every_length(name, tmp_path):
    reader = READERS[name]
    data = min(reader.sound, key=len)
    step = max(1, len(data) // 60)
    for length in {*range(0, len(data), step), *range(min(40, len(data)))}:
        found = outcome(reader, data[:length], tmp_path)
        assert isinstance(found, ValueError) or name not in SELF_ENDING, (length, found)


@pytest.mark.parametrize(
    "content",
    ["1", "[]", "{}", '{"format": 1, "step": 12}', '{"format": 1, "step": 12, "arrays": [1]}'],
)
def test_content_that_is_no_checkpoints_is_refused_though_its_hash_is_right(content, tmp_path):
    found = outcome(READERS["checkpoint-content"], content.encode(), tmp_path)
    assert "it has no format, step or arrays of one" in str(found)


@pytest.mark.parametrize("name", ["checkpoint", "checkpoint-arrays"])
@pytest.mark.parametrize("bits", [1, 0x20, 0xFF])
def test_a_checkpoint_that_is_changed_at_any_byte(name, bits, tmp_path):
    (sound,) = READERS[name].sound
    refused = 0
    for place in range(len(sound)):
        data = sound[:place] + bytes([sound[place] ^ bits]) + sound[place + 1 :]
        refused += isinstance(outcome(READERS[name], data, tmp_path), ValueError)
    # spaces may change in JSON, and the e of 1e-05; in arrays nothing may
    assert refused > len(sound) / 2 if name == "checkpoint" else refused == len(sound)


FOREIGN = ("zip", "pickle", "npy", "gzip", "nothing", "zeros", "text")


def foreign(kind, folder):
    if kind == "zip":
        with zipfile.ZipFile(folder / "a.zip", "w") as archive:
            archive.writestr("weights", b"1" * 100)
        return (folder / "a.zip").read_bytes()
    if kind == "npy":
        np.save(folder / "a.npy", np.array([Bomb(folder / "mark")], object), allow_pickle=True)
        return (folder / "a.npy").read_bytes()
    return {
        "pickle": pickle.dumps(Bomb(folder / "mark")),
        "gzip": gzip.compress(b"x" * 100),
        "nothing": b"",
        "zeros": bytes(1000),
        "text": "Äpfel, 1\n".encode() * 20,
    }[kind]


@every
@pytest.mark.parametrize("kind", FOREIGN)
def test_a_file_of_another_kind_is_refused_and_nothing_in_it_runs(name, kind, tmp_path):
    if (name, kind) in {("table", "nothing"), ("table", "zeros")}:
        pytest.skip("an empty table is begun")
    found = outcome(READERS[name], foreign(kind, tmp_path), tmp_path)
    assert isinstance(found, ValueError), found
    assert not (tmp_path / "mark").exists()


def test_the_bomb_would_leave_its_mark(tmp_path):
    pickle.loads(foreign("pickle", tmp_path))
    assert (tmp_path / "mark").is_dir()


def array(dtype, shape, size):
    return safetensors(
        {"a": {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}}, bytes(size)
    )


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(array("BF16", [2], 4), id="bfloat16"),
        pytest.param(array("F8_E4M3", [2], 2), id="float8"),
        pytest.param(array("F32", [2**62, 4], 0), id="huge"),
        pytest.param(array("F32", [0, 2**62], 0), id="none-of-huge"),
        pytest.param(array("F32", [1] * 70, 4), id="rank"),
        pytest.param(struct.pack("<Q", 2**63) + b"{}", id="long-header"),
        pytest.param(safetensors(b"[" * 100_000), id="deep"),
        pytest.param(WEIGHTS + b"1", id="surplus"),
    ],
)
@pytest.mark.parametrize("name", ["weights", "checkpoint-arrays-vouched"])
def test_arrays_that_numpy_cant_hold_are_named(name, data, tmp_path):
    assert isinstance(outcome(READERS[name], data, tmp_path), ValueError)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"[" * 200_000, id="deep"),
        pytest.param(b'{"epochs": [], "batch_losses": [1' + b"0" * 400 + b"]}", id="beyond floats"),
        pytest.param(b'{"epochs": [], "batch_losses": [1' + b"0" * 9000 + b"]}", id="digits"),
        pytest.param(b'{"epochs": [{"epoch": true}], "batch_losses": []}', id="truth"),
        pytest.param(b'{"epochs": [1, 2], "batch_losses": []}', id="no figures"),
        pytest.param('{"epochs": []}'.encode("utf-16"), id="utf-16"),
    ],
)
def test_histories_that_are_none(data, tmp_path):
    found = outcome(READERS["history"], data, tmp_path)
    assert isinstance(found, ValueError)
    assert len(str(found)) < 1000, "it says more than anybody reads"


@pytest.mark.parametrize(
    "lines",
    [
        b"nope\ndigits",
        b"mlp\nnope",
        b"lenet\ndigits",
        b"mlp\ndigits\n[0.1]\nhalf",
        b"mlp\ndigits\n[0.1]\n[0]",
        b"mlp\ndigits\n[1e300]\n[1]",
        b"mlp\ndigits\n[NaN]\n[1]",
        b"mlp\ndigits\n[0.1, 0.2]\n[1, 1]",
        b"mlp\ndigits\n" + b"[" * 200_000 + b"\n[1]",
        b"",
    ],
)
def test_weights_whose_header_cant_be_used_are_named(lines, tmp_path):
    assert isinstance(outcome(READERS["run"], lines, tmp_path), ValueError)


def test_labels_that_are_no_class_are_refused(tmp_path):
    data = bytearray(CIFAR)
    data[0] = 10
    found = outcome(READERS["cifar10"], bytes(data), tmp_path)
    assert "expected labels 0 to 9; record 0 (at byte 0) has label 10" in str(found)


LIES = {
    "too short": (png(40, 40, bytes(50)), "damaged"),
    "far too large": (png(50_000, 50_000, bytes(10)), "more than 89,478,485 pixels"),
    "beyond all": (png(2**31 - 1, 2**31 - 1, bytes(10)), "pixels"),
    "one long column": (png(1, 80_000_000, bytes(10)), "1×80,000,000 pixels"),
    "nothing": (png(0, 5, b""), "no picture"),
    "a text of 200 MB": (
        png(4, 4, bytes(20), before=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(200_000_000)))),
        "damaged",
    ),
    "a wrong checksum": (png(4, 4, bytes(20))[:-20] + bytes(20), "damaged"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "kind EPS"),
}


@pytest.mark.parametrize("lie", LIES)
def test_pictures_that_lie(lie, tmp_path):
    data, said = LIES[lie]
    path = tmp_path / "picture.png"
    path.write_bytes(data)
    tracemalloc.start()
    with pytest.raises(ValueError, match=said) as caught:
        digit.prepare(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(path) in str(caught.value)
    assert peak < 64e6, "the claim alone took memory"


def test_no_picture_is_handed_to_another_program(tmp_path, monkeypatch):
    def start(*args, **kwargs):
        raise AssertionError(f"a program was started: {args}")

    monkeypatch.setattr("subprocess.Popen", start)
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", "gs")
    path = tmp_path / "a.png"
    path.write_bytes(LIES["PostScript"][0])
    with pytest.raises(ValueError, match="is a picture of kind EPS; save it as PNG first"):
        digit.prepare(path)


def test_a_header_that_promises_more_than_the_memory_is_refused_before_it_is_read(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(memory, "free", lambda: 10**9)
    path = tmp_path / "train.gz"
    header = struct.pack(">HBBIII", 0, 8, 3, 60_000, 1_000, 1_000)
    path.write_bytes(gzip.compress(header + bytes(10**6)))
    with pytest.raises(ValueError, match=r"train\.gz: .*60\.0 GB of memory, and 1\.0 GB are free"):
        read_idx(path)

"""Checkpoints and weights files that are damaged, can't be written, or belong elsewhere."""

import errno
import io
import json
import os
import pickle
import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

import numcnn
from numcnn import Flatten, Linear, ReLU, Sequential, checkpoint, weights_hash
from numcnn.checkpoint_folder import Checkpoint, CheckpointFolder
from numcnn.training_state import PARTS

pytestmark = pytest.mark.usefixtures("one_thread")


def network():
    return Sequential(Flatten(), Linear(12, 8), ReLU(), Linear(8, 3), seed=1)


def fit(model, folder=None, epochs=3, **options):
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((32, 1, 3, 4)).astype(np.float32), rng.integers(0, 3, 32)
    return model.fit(x, y, epochs=epochs, batch_size=8, verbose=False, checkpoint=folder, **options)


@pytest.fixture(scope="module")
def expected():
    model = network()
    fit(model)
    return weights_hash(model)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "ck"
    fit(network(), folder, epochs=2, every=2)
    return folder


@pytest.fixture
def folder(made, tmp_path):
    """Return a folder with checkpoints of the steps 4, 6 and 8, as of a training cut short."""
    return Path(shutil.copytree(made, tmp_path / "ck"))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def flipped(place):
    def change(content):
        at = int(len(content) * place)
        return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]

    return change


def cut_at(share):
    return lambda content: content[: int(len(content) * share)]


def zipped(content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("weights", content)
    return file.getvalue()


DAMAGES = {
    "empty": lambda content: b"",
    "cut-early": cut_at(0.1),
    "cut-late": cut_at(0.99),
    "one-byte-less": lambda content: content[:-1],
    "one-byte-more": lambda content: content + b"x",
    "bit-in-the-beginning": flipped(0.02),
    "bit-in-the-middle": flipped(0.5),
    "bit-at-the-end": flipped(0.98),
    "zeros": lambda content: bytes(len(content)),
    "pickle": lambda content: pickle.dumps([1, 2, 3]),
    "zip": zipped,
}


@pytest.mark.parametrize("kind", ["json", "safetensors"])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(folder, expected, kind, damage):
    victim = folder / f"step-00000008.{kind}"
    victim.write_bytes(damage(victim.read_bytes()))
    model = network()
    with pytest.warns(UserWarning, match=rf"step-00000008\.{kind} is damaged .*from step 6 inst"):
        fit(model, resume=folder)
    assert weights_hash(model) == expected


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "[]", "{}", "null", '{"sha256": 1, "content": {}}', '"\\ud800"'],
    ids=["nested", "list", "object", "null", "hollow", "surrogate"],
)
def test_json_that_is_no_checkpoint_is_named(folder, expected, text):
    (folder / "step-00000008.json").write_text(text)
    model = network()
    with pytest.warns(UserWarning, match=r"step-00000008\.json is damaged"):
        fit(model, resume=folder)
    assert weights_hash(model) == expected


def test_arrays_that_are_missing_are_named(folder, expected):
    (folder / "step-00000008.safetensors").unlink()
    with pytest.warns(UserWarning, match=r"step-00000008\.safetensors is missing"):
        fit(model := network(), resume=folder)
    assert weights_hash(model) == expected


def test_two_damaged_ones_are_both_named(folder, expected):
    for step in (6, 8):
        path = folder / f"step-{step:08d}.json"
        path.write_bytes(path.read_bytes()[:-9])
    model = network()
    with pytest.warns(UserWarning, match="damaged") as warned:
        fit(model, resume=folder)
    named = [str(each.message) for each in warned]
    assert ["step-00000008" in text for text in named] == [True, False]
    assert all("going on from step 4 instead" in text for text in named)
    assert weights_hash(model) == expected


def test_where_all_are_damaged_each_is_named_and_nothing_is_touched(folder):
    for path in folder.glob("*.safetensors"):
        path.write_bytes(b"")
    before = contents(folder)
    with pytest.raises(ValueError, match=r"no checkpoint in .* can be used") as error:
        fit(network(), folder, resume=True)  # not: begins anew
    for step in (4, 6, 8):
        assert f"step-{step:08d}.safetensors is damaged (it has 0 bytes" in str(error.value)
    assert contents(folder) == before


def test_damaged_ones_dont_push_out_whole_ones(folder):
    for step in (6, 8):
        (folder / f"step-{step:08d}.json").write_text("")
    kept = CheckpointFolder(folder, keep=2)
    with pytest.warns(UserWarning, match="going on from step 4"):
        found = kept.newest()
    for step in (5, 10):
        kept.write(found._replace(step=step, content=found.content | {"step": step}))
    assert kept.steps() == [5, 6, 8, 10]
    assert CheckpointFolder(folder).newest().step == 10


def test_a_checkpoint_under_another_name_is_told(folder):
    for kind in ("json", "safetensors"):
        (folder / f"step-00000008.{kind}").rename(folder / f"step-00000009.{kind}")
    with pytest.warns(UserWarning, match="holds step 8; it was renamed"):
        fit(network(), resume=folder)


def test_what_a_kill_left_half_written_is_cleared_away(folder, expected):
    torn = [folder / ".step-00000010.json.abc.tmp", folder / "step-00000010.safetensors"]
    for path in torn:
        path.write_bytes(b"half")
    (folder / "notes.txt").write_text("mine")
    model = network()
    fit(model, resume=folder, every=9)
    assert weights_hash(model) == expected
    assert not any(path.exists() for path in torn)
    assert (folder / "notes.txt").read_text() == "mine"


# ---- all or nothing -----------------------------------------------------------------------------


def rewritten(folder, change):
    """Write the newest checkpoint anew, changed but with hashes that are right."""
    found = CheckpointFolder(folder).newest()
    arrays, content = dict(found.arrays), dict(found.content)
    del content["arrays"]
    change(arrays, content)
    CheckpointFolder(folder, keep=9).write(Checkpoint(found.step, arrays, content))


def test_everything_that_doesnt_fit_is_listed_and_nothing_is_loaded(folder):
    def spoil(arrays, content):
        del arrays["model.1.bias"]
        arrays["model.9.weight"] = np.zeros(2, np.float32)
        arrays["model.3.weight"] = np.zeros((3, 9), np.float32)
        del arrays["optimizer.0.square"]
        arrays["optimizer.1.velocity"] = np.zeros(8, np.float32)
        arrays["optimizer.2.mean"] = np.zeros((8, 3), np.float32)

    rewritten(folder, spoil)
    model = network()
    before = weights_hash(model)
    with pytest.raises(ValueError, match="doesn't fit, nothing was loaded") as error:
        fit(model, resume=folder)
    for words in (
        "weights, missing: 1.bias (8,)",
        "weights, unexpected: 9.weight (2,)",
        "weights, 3.weight has shape (3, 9), expected (3, 8)",
        "optimizer, missing: 0.square",
        "optimizer, 1.velocity: Adam keeps no 'velocity'",
        "optimizer, 2.mean has shape (8, 3), expected (3, 8)",
    ):
        assert words in str(error.value)
    assert weights_hash(model) == before


@pytest.mark.parametrize("part", [*PARTS, "settings"])
def test_a_part_that_is_missing_is_named(folder, part):
    rewritten(folder, lambda arrays, content: content.pop(part))
    model = network()
    before = weights_hash(model)
    with pytest.raises(ValueError, match=part):
        fit(model, resume=folder)
    assert weights_hash(model) == before


# ---- full disks and closed folders ----


def failing(monkeypatch, stage, code, times=1):
    """Have one stage of writing a file fail so many times, as the system would."""
    error = OSError(code, os.strerror(code))
    left = [times]

    def wrap(plain):
        def call(*arguments, **options):
            if left[0] > 0:
                left[0] -= 1
                raise error
            return plain(*arguments, **options)

        return call

    if stage == "open":
        monkeypatch.setattr(tempfile, "mkstemp", wrap(tempfile.mkstemp))
        return
    if stage == "write":

        class Full(io.FileIO):
            write = wrap(io.FileIO.write)

        monkeypatch.setattr(checkpoint.os, "fdopen", lambda handle, mode: Full(handle, "w"))
        return
    names = {"sync": "fsync", "mode": "chmod", "rename": "replace"}
    monkeypatch.setattr(checkpoint.os, names[stage], wrap(getattr(os, names[stage])))


STAGES = ["open", "write", "sync", "mode", "rename"]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_save_that_fails_says_so_and_leaves_the_old_file(tmp_path, monkeypatch, stage, code):
    path = tmp_path / "weights.safetensors"
    network().save(path)
    before = path.read_bytes()
    other = network()
    other.reseed(5)
    failing(monkeypatch, stage, code)
    with pytest.raises(OSError, match=r"weights\.safetensors can't be written \(") as error:
        other.save(path)
    assert os.strerror(code).lower() in str(error.value)
    assert "it is as it was before" in str(error.value)
    assert error.value.errno == code
    assert contents(tmp_path) == {path.name: before}, "nothing else may be left behind"
    other.save(path)
    assert path.read_bytes() != before


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("kind", ["safetensors", "json"])
def test_a_checkpoint_that_fails_leaves_the_one_before(
    tmp_path, monkeypatch, expected, stage, kind
):
    folder = tmp_path / "ck"
    fit(network(), folder, epochs=2)
    before = contents(folder)
    plain, wanted = checkpoint.write_whole, f"step-00000012.{kind}"

    def write(path, content):
        if path.name == wanted:
            failing(patch, stage, errno.ENOSPC)
        plain(path, content)

    with monkeypatch.context() as patch:
        patch.setattr("numcnn.checkpoint_folder.write_whole", write)
        with pytest.raises(OSError, match="no space left") as error:
            fit(network(), resume=folder)
    assert f"{wanted} can't be written" in str(error.value)
    assert before.items() <= contents(folder).items()
    model = network()
    fit(model, resume=folder)
    assert weights_hash(model) == expected


def test_a_folder_that_cant_be_synced_is_said(tmp_path, monkeypatch):
    def fsync(handle):
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs /proc to tell a folder's handle from a file's")
    monkeypatch.setattr(checkpoint.os, "fsync", fsync)
    with pytest.raises(OSError, match="the file is there, but a power cut might still undo it"):
        network().save(tmp_path / "w")
    network().load(tmp_path / "w")


def test_a_limit_that_the_system_sets_is_met_with_a_sentence(tmp_path):
    resource = pytest.importorskip("resource", reason="this system has no file size limits")
    path = tmp_path / "weights.safetensors"
    network().save(path)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))
    try:
        with pytest.raises(OSError) as saving:
            network().save(path)
        with pytest.raises(OSError) as training:
            fit(network(), tmp_path / "ck")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert saving.value.errno == training.value.errno == errno.EFBIG
    assert "weights.safetensors can't be written (file too large)" in str(saving.value)
    assert "step-00000000.safetensors can't be written (file too large)" in str(training.value)
    assert path.read_bytes() == before
    assert not list((tmp_path / "ck").iterdir())


def test_a_closed_folder_is_met_with_a_sentence(tmp_path):
    # in a process without root's rights, to which every folder is open
    folder = tmp_path / "ck"
    fit(network(), folder, epochs=2)
    network().save(folder / "w")
    before = contents(folder)
    arrays = network().state_dict()

    def attempt():
        for write in (
            lambda: numcnn.save_weights(folder / "w", arrays, {}),
            lambda: CheckpointFolder(folder).write(Checkpoint(12, arrays, {})),
            lambda: CheckpointFolder(folder / "below").prepare(),
        ):
            try:
                write()
            except PermissionError as error:
                yield str(error)

    folder.chmod(0o555)
    try:
        said = _without_rights(attempt)
    finally:
        folder.chmod(0o755)
    assert len(said) == 3
    assert "/w can't be written (permission denied); it is as it was before" in said[0]
    assert "step-00000012.safetensors can't be written (permission denied)" in said[1]
    assert f"checkpoints can't be written to {folder / 'below'} (permission denied)" in said[2]
    assert contents(folder) == before


def _without_rights(attempt):
    """Return what `attempt` yields in a fork that isn't root; nothing in it may need a kernel."""
    if not hasattr(os, "fork"):
        pytest.skip("this system can't fork")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.seteuid(65534)
            os.write(writing, json.dumps(list(attempt())).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = json.loads(pipe.read())
    os.waitpid(child, 0)
    return said


def test_a_folder_that_isnt_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"written \(there is no folder .*lost\)"):
        network().save(tmp_path / "lost" / "w")


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "ck").write_text("mine")
    with pytest.raises(OSError, match=r"checkpoints can't be written to .*ck \("):
        fit(network(), tmp_path / "ck")
    assert (tmp_path / "ck").read_text() == "mine"

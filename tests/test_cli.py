"""The command line: every command once, its exit codes, and the sentence for each misuse."""

import contextlib
import json
import os
import re
import signal
import struct
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest
from numba.core import config
from PIL import Image
from typer.testing import CliRunner

import numcnn
from numcnn import data, digit, gradcheck_all, layers, losses, recipe, runs
from numcnn.checkpoint import load_weights
from numcnn.cli import app
from numcnn.kernels.cpu import _cache

FINAL = re.compile(r"test accuracy: \d{1,3}\.\d%\n\Z")


def call(*args, **env):
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(arg) for arg in args], env=env)


def fails(*args, code=2):
    """Run a command that must fail; return its one sentence."""
    result = call(*args)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    assert result.stderr.startswith("numcnn: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def usage(*args):
    """Run a command that is used wrongly; return what typer says, as one line."""
    result = call(*args)
    assert result.exit_code == 2
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", result.stderr).split())


def process(*args, cwd, **env):
    """Run ``python -m numcnn`` with its output in pipes."""
    return subprocess.run(
        [sys.executable, "-m", "numcnn", *args],
        cwd=cwd,
        env=os.environ | env,
        capture_output=True,
        timeout=200,
        check=False,
    )


@contextlib.contextmanager
def inside(folder):
    """Work in a folder for a while."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder in which a small network has been trained, and what that printed."""
    with inside(tmp_path_factory.mktemp("trained")) as folder:
        result = call("train", "--model", "mlp", "--limit", 2000, "--epochs", 4, "--plot")
    assert result.exit_code == 0, result.output
    return folder, result


@pytest.fixture
def home(trained):
    """The trained network's folder, as the working directory."""
    with inside(trained[0]) as folder:
        yield folder


# ---- train ----------------------------------------------------------------------------------


def test_train_says_what_it_does(trained):
    result = trained[1]
    lines = result.stdout.splitlines()
    assert lines[0] == "model   mlp, 101,770 parameters"
    assert lines[1] == "data    2,000 digits to train on, 2,000 to test"
    rate = f"{recipe.LEARNING_RATE['adam']:g}"
    assert lines[2] == f"plan    4 times through them, 64 at a time, adam (lr {rate}), seed 0"
    assert re.match(r"device  cpu, \d+ threads?", lines[3])
    assert sum(line.startswith("epoch ") and "done" in line for line in lines) == 4
    assert "val" not in result.stdout
    assert lines[-6:-3] == [
        f"weights: {os.path.join('runs', 'mlp-digits', 'weights.safetensors')}",
        f"history: {os.path.join('runs', 'mlp-digits', 'history.json')}",
        f"plot: {os.path.join('runs', 'mlp-digits', 'history.png')}",
    ]
    assert re.fullmatch(r"SHA-256 of the weights: [0-9a-f]{64}", lines[-3])
    assert re.fullmatch(r"time: \d+ s, all included", lines[-2])
    assert FINAL.search(result.stdout)
    assert float(lines[-1].split()[-1].rstrip("%")) > 75


def test_train_writes_files(trained):
    folder = trained[0] / "runs" / "mlp-digits"
    state, header = load_weights(folder / "weights.safetensors")
    assert state["1.weight"].shape == (128, 784)
    assert header["model"] == "mlp"
    assert header["data"] == "digits"
    assert json.loads(header["classes"]) == list("0123456789")
    assert header["seed"] == "0"
    assert header["epochs"] == "4"
    assert header["numcnn"] == numcnn.__version__
    assert f"{float(header['test_accuracy']):.1%}" in trained[1].stdout
    history = json.loads((folder / "history.json").read_text())
    assert len(history["epochs"]) == 4
    assert len(history["batch_losses"]) == 4 * 32
    with Image.open(folder / "history.png") as picture:
        assert picture.format == "PNG"


def test_train_piped_has_no_escapes_and_repeats(tmp_path):
    args = ("train", "--model", "mlp", "--limit", "256", "--epochs", "1", "--optimizer", "sgd")
    args += ("--lr", "0.02")
    first, second = (process(*args, "--output", name, cwd=tmp_path) for name in "ab")
    for result in (first, second):
        assert result.returncode == 0, result.stderr
        assert b"\x1b" not in result.stdout + result.stderr
        assert FINAL.search(result.stdout.decode().replace("\r\n", "\n"))
        assert b"sgd (lr 0.02, momentum 0.9)" in result.stdout
    a, b = (load_weights(tmp_path / name / "weights.safetensors")[0] for name in "ab")
    assert all(np.array_equal(a[name], b[name]) for name in a)


def test_train_goes_on_from_a_checkpoint(tmp_path):
    def train(*more):
        options = ("--model", "mlp", "--limit", 256, "--optimizer", "sgd", "--lr", 0.02)
        return call("train", *options, "--checkpoint", "ck", *more)

    with inside(tmp_path) as folder:
        whole = train("--epochs", 2, "--every", 3)
        assert whole.exit_code == 0, whole.output
        (weights,) = re.findall("SHA-256 of the weights: .*", whole.stdout)
        assert "has checkpoints up to step 8" in train("--epochs", 2).stderr
        (folder / "ck" / "step-00000008.json").unlink()  # as if it had been killed before
        part = train("--epochs", 2, "--resume")
        assert "going on after step 6 in ck: epoch 2, batch 2 of 4" in part.stdout
        assert "epoch 1/2" not in part.stdout
        assert weights in part.stdout
        assert "batches.transform" in train("--epochs", 2, "--resume", "--shift", 1).stderr
        shorter = train("--epochs", 2, "--resume", "--limit", 200)
        assert "data.x.shape[0]: 256 in the checkpoint, 200 now" in shorter.stderr
        assert "need --checkpoint" in fails("train", "--resume")


def test_reference_device_limits_the_test_too(tmp_path):
    with inside(tmp_path):
        args = ("--device", "reference", "--limit", 2, "--epochs", 1, "--batch-size", 1)
        result = call("train", "--model", "mlp", *args)
    assert result.exit_code == 0, result.output
    assert "data    2 digits to train on, 2 to test" in result.stdout
    assert "device  reference (plain Python" in result.stdout


@pytest.fixture
def small_cifar(tmp_path, monkeypatch):
    """A folder with a CIFAR-10 of 10 pictures a file, each with one bright pixel."""
    folder = tmp_path / "data" / "cifar10"
    folder.mkdir(parents=True)
    record = bytes([3]) + bytes(1500) + bytes([255]) + bytes(1571)
    for name in (*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"):
        (folder / name).write_bytes(record * 10)
    monkeypatch.setenv("NUMCNN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("options", "moves", "shift"),
    [
        ((), None, "0"),
        (("--augment",), "moved by up to 4 pixels and mirrored", "4"),
        (("--augment", "--shift", 1), "moved by up to 1 pixels and mirrored", "1"),
        (("--augment", "--shift", 0), "mirrored", "0"),
    ],
)
def test_train_augments_on_demand(small_cifar, options, moves, shift):
    args = ("--data", "cifar10", "--model", "mlp", "--epochs", 1, "--limit", 4)
    result = call("train", *args, "--batch-size", 2, *options)
    assert result.exit_code == 0, result.output
    said = f"        pictures {moves} at random, to be seen anew"
    assert (said in result.stdout.splitlines()) == (moves is not None)
    assert ("to be seen anew" in result.stdout) == (moves is not None)
    _, header = load_weights("runs/mlp-cifar10/weights.safetensors")
    assert header["shift"] == shift
    assert header["augment"] == str(bool(options))


def test_augmented_pictures_are_moved_mirrored_and_normalised():
    examples = runs.data_set("cifar10")
    x = np.zeros((200, 3, 32, 32), np.float32)
    x[:, :, 10, 5] = 1
    plain = data.normalize(examples.mean, examples.std)
    moved = recipe.transform_maker(examples, 4, mirror=True)(x, np.random.default_rng(0))
    bright = moved == plain(np.ones_like(x))
    assert (bright.sum((2, 3)) == 1).all()
    _, channel, row, column = np.nonzero(bright)
    assert set(row) == set(range(6, 15))
    assert set(column) == set(range(1, 10)) | {31 - c for c in range(1, 10)}
    for first, other in ((0, 1), (0, 2)):  # a picture's channels go together
        np.testing.assert_array_equal(row[channel == first], row[channel == other])
        np.testing.assert_array_equal(column[channel == first], column[channel == other])
    unmirrored = recipe.transform_maker(examples, 4)(x, np.random.default_rng(0))
    assert np.nonzero(unmirrored == plain(np.ones_like(x)))[3].max() == 9


def test_train_refuses_what_cannot_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = fails("train", "--data", "cifar10")
    assert "lenet takes pictures of 1×28×28 and cifar10 has 3×32×32" in said
    assert "models that fit are mlp, conv-net, cifar-demo, " in said
    said = fails("train", "--model", "cifar-demo")
    assert "models that fit are lenet, lenet5, mlp, conv-net" in said
    assert "did you mean 'lenet'? choose one of lenet, lenet5, mlp" in fails(
        "train", "--model", "LeNett"
    )
    assert "there is no data set 'imagenet'" in fails("train", "--data", "imagenet")
    assert "choose one of cpu, cuda, reference" in fails("train", "--device", "tpu")
    assert "there is no optimizer 'adamm'; did you mean 'adam'?" in fails(
        "train", "--optimizer", "adamm"
    )
    assert "a mirrored digit is none; it is for cifar10" in fails("train", "--augment")
    assert "there is no schedule 'cosine'" in fails("train", "--schedule", "cosine")
    assert "--momentum belongs to --optimizer sgd, not to adam" in fails("train", "--momentum", 0.9)
    assert "no optimizer 'lion'" in fails("train", "--optimizer", "lion", "--lr", 0.1)
    assert "momentum must be" in fails("train", "--optimizer", "sgd", "--momentum", 1)
    assert "learning rate must be above 0" in fails("train", "--lr", 0)
    assert "finite, got nan" in fails("train", "--lr", "nan")
    assert "--epochs" in usage("train", "--epochs", 0)
    assert "--limit" in usage("train", "--limit", 0)
    assert "--seed" in usage("train", "--seed", -1)
    assert "--batch-size" in usage("train", "--batch-size", "many")
    (tmp_path / "file").touch()
    assert "results can't be written to file" in fails("train", "--output", "file")
    monkeypatch.setattr(runs.importlib.util, "find_spec", lambda name: None)
    assert "pip install 'numcnn[plot]'" in fails("train", "--plot")


def test_cuda_without_a_gpu(tmp_path, monkeypatch):
    with contextlib.suppress(numcnn.DeviceError):
        numcnn.get_device("cuda")
        pytest.skip("this machine can use device 'cuda'")
    monkeypatch.chdir(tmp_path)
    assert "device 'cuda' can't be used: " in fails("train", "--device", "cuda")
    assert not list(tmp_path.iterdir())


def test_diverged_weights_are_not_used(home, tmp_path):
    state, header = load_weights("runs/mlp-digits/weights.safetensors")
    state["3.bias"][0] = np.nan
    numcnn.save_weights(tmp_path / "w", state, header)
    assert "diverged" in fails("evaluate", tmp_path / "w")


# ---- evaluate -------------------------------------------------------------------------------


def test_evaluate_knows_the_network_by_its_weights(trained, home):
    result = call("evaluate")
    assert result.exit_code == 0, result.output
    assert "mlp on 2,000 digits of the test set of digits" in result.stdout
    assert re.search(r"^test loss: \d\.\d{4}$", result.stdout, re.M)
    assert result.stdout.splitlines()[-1] == trained[1].stdout.splitlines()[-1]
    rows = re.findall(r"[│|] (\d) +[│|] +200 [│|] +(\d+) [│|] +([\d.]+)%", result.stdout)
    assert [row[0] for row in rows] == list("0123456789")
    assert all(f"{int(right) / 2:.1f}" == share for _, right, share in rows)


def test_evaluate_takes_the_newest_weights(home):
    other = home / "runs" / "other"
    other.mkdir()
    weights = home / "runs" / "mlp-digits" / "weights.safetensors"
    (other / "weights.safetensors").write_bytes(weights.read_bytes())
    later = weights.stat().st_mtime + 10
    os.utime(other / "weights.safetensors", (later, later))
    try:
        result = call("evaluate", "--limit", 100)
        assert f"weights: {os.path.join('runs', 'other', 'weights.safetensors')}" in result.stdout
        assert "mlp on 100 digits" in result.stdout
    finally:
        (other / "weights.safetensors").unlink()


def test_evaluate_refuses(home, tmp_path):
    weights = home / "runs" / "mlp-digits" / "weights.safetensors"
    assert "there is no file nowhere.safetensors" in fails("evaluate", "nowhere.safetensors")
    (tmp_path / "cut").write_bytes(weights.read_bytes()[:-100])
    assert "damaged" in fails("evaluate", tmp_path / "cut")
    (tmp_path / "text").write_text("no weights")
    assert "no safetensors file" in fails("evaluate", tmp_path / "text")
    assert "holds the weights of mlp, not of lenet" in fails("evaluate", "--model", "lenet")
    state, header = load_weights(weights)
    numcnn.save_weights(tmp_path / "bare", state, {})
    assert "add --model" in fails("evaluate", tmp_path / "bare")
    assert "add --data" in fails("evaluate", tmp_path / "bare", "--model", "mlp")
    given = call("evaluate", tmp_path / "bare", "--model", "mlp", "--data", "digits")
    assert FINAL.search(given.stdout)
    numcnn.save_weights(tmp_path / "strange", state, header | {"model": "resnet"})
    assert "there is no model 'resnet'" in fails("evaluate", tmp_path / "strange")
    result = call("evaluate", weights, "--data", "cifar10")
    assert result.exit_code == 2
    assert "3.weight" not in result.stderr or "expected" in result.stderr
    with inside(tmp_path):
        assert "run numcnn train first" in fails("evaluate")


# ---- predict --------------------------------------------------------------------------------


def examples_of_each_digit():
    """Return one picture of each digit, as 8-bit greys."""
    x, y = data.digits(split="test")
    return [
        (x[int(np.argmax(y == label)), 0] * 255).round().astype(np.uint8) for label in range(10)
    ]


def colourful(grey):
    share = grey[..., None] / 255
    colours = share * np.array([255, 230, 30]) + (1 - share) * np.array([20, 20, 110])
    return Image.fromarray(colours.astype(np.uint8))


def transparent(grey):
    layers = np.zeros((28, 28, 4), np.uint8)
    layers[..., 3] = grey
    return Image.fromarray(layers)


def page(grey):
    """A digit written small on a grainy sheet of paper that is lit from one side."""
    ink = np.asarray(Image.fromarray(grey).resize((90, 90)), np.float64)
    sheet = 200 + np.linspace(-25, 25, 300) + np.random.default_rng(0).normal(0, 5, (200, 300))
    sheet[70:160, 30:120] -= 0.6 * ink
    return Image.fromarray(sheet.clip(0, 255).astype(np.uint8))


VARIANTS = {
    "inverted.png": lambda grey: Image.fromarray(255 - grey),
    "colour.png": colourful,
    "palette.gif": lambda grey: colourful(grey).quantize(64),
    "deep.png": lambda grey: Image.fromarray(grey.astype(np.uint16) * 257),
    "float.tiff": lambda grey: Image.fromarray(grey.astype(np.float32) / 255),
    "large.png": lambda grey: Image.fromarray(grey).resize((224, 224), Image.Resampling.NEAREST),
    "wide.jpg": lambda grey: Image.fromarray(np.pad(255 - grey, (9, 60), constant_values=255)),
    "bits.png": lambda grey: Image.fromarray(grey).resize((112, 112)).convert("1"),
    "clear.png": transparent,
    "page.jpg": page,
}


def test_predict_shows_picture_and_probabilities(home, tmp_path):
    Image.fromarray(examples_of_each_digit()[7]).save(tmp_path / "seven.png")
    result = call("predict", tmp_path / "seven.png")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert re.fullmatch(rf"{re.escape(str(tmp_path / 'seven.png'))}: 7 \(\d+\.\d%\)", lines[0])
    assert len(lines) == 1 + 14
    assert "█" in "".join(line[:28] for line in lines[1:])
    shares = [
        float(re.fullmatch(r" *(\d) +([\d.]+)% *[█▏▎▍▌▋▊▉]* *", line[28:])[2])
        for line in lines[1:11]
    ]
    assert sum(shares) == pytest.approx(100, abs=0.6)
    assert int(np.argmax(shares)) == 7


@pytest.mark.parametrize("kind", VARIANTS)
def test_predict_sees_through_the_form(home, tmp_path, kind):
    greys = examples_of_each_digit()
    plain, changed = [], []
    for label, grey in enumerate(greys):
        plain.append(tmp_path / f"plain-{label}.png")
        Image.fromarray(grey).save(plain[-1])
        changed.append(tmp_path / f"{label}-{kind}")
        VARIANTS[kind](grey).save(changed[-1])

    def classes(paths):
        result = call("predict", *paths)
        assert result.exit_code == 0, result.output
        return re.findall(r": (\d) \(", result.stdout)

    same = sum(a == b for a, b in zip(classes(plain), classes(changed), strict=True))
    assert same >= (10 if kind in ("inverted.png", "deep.png", "float.tiff") else 8)


def test_a_bundled_digit_reaches_the_network_unchanged(tmp_path):
    x, _ = data.digits(split="test")
    Image.fromarray((x[0, 0] * 255).round().astype(np.uint8)).save(tmp_path / "a.png")
    picture = digit.prepare(tmp_path / "a.png")
    assert np.array_equal(picture.x, x[0])
    assert picture.notes == ()


def test_inverting(home, tmp_path):
    grey = examples_of_each_digit()[3]
    path = tmp_path / "three.png"
    Image.fromarray(255 - grey).save(path)
    assert "inverted, since its border is light" in call("predict", path).stdout
    assert "inverted" not in call("predict", "--no-invert", path).stdout
    assert "inverted as asked" in call("predict", "--invert", path).stdout
    assert np.array_equal(digit.prepare(path, invert=False).x[0], (255 - grey).astype("f4") / 255)


def test_orientation_of_a_photograph(tmp_path):
    picture = Image.fromarray(examples_of_each_digit()[2]).resize((140, 140))
    tag = Image.Exif()
    tag[0x0112] = 6  # the camera was held upright: turn by 90° clockwise to view
    picture.save(tmp_path / "upright.png")
    picture.rotate(90).save(tmp_path / "turned.png", exif=tag)
    upright, turned = (digit.prepare(tmp_path / f"{n}.png").x for n in ("upright", "turned"))
    assert np.abs(upright - turned).mean() < 0.01


def test_fitting_as_mnist_does(tmp_path):
    canvas = np.zeros((300, 500), np.uint8)
    canvas[20:220, 40:90] = 255  # a bar, 200 high and 50 wide
    Image.fromarray(canvas).save(tmp_path / "bar.png")
    x = digit.prepare(tmp_path / "bar.png").x[0]
    rows, columns = np.flatnonzero(x.any(1)), np.flatnonzero(x.any(0))
    assert (len(rows), len(columns)) == (20, 5)
    assert abs(rows.mean() - 14) <= 0.5
    assert abs(columns.mean() - 14) <= 0.5
    assert x.max() == 1


def test_colour_pictures_keep_their_colours(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    picture = digit.prepare(tmp_path / "a.png", (3, 32, 32), digit=False)
    assert np.array_equal(picture.x, pixels.transpose(2, 0, 1).astype(np.float32) / 255)
    Image.fromarray(pixels).resize((100, 64)).save(tmp_path / "b.png")
    picture = digit.prepare(tmp_path / "b.png", (3, 32, 32), digit=False)
    assert picture.x.shape == (3, 32, 32)
    assert picture.notes == ("cut and scaled to 32×32",)
    assert len(digit.as_text(picture.x).plain.splitlines()) == 16


def png(width, height, body):
    def chunk(kind, content):
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def test_predict_refuses_bad_files(home, tmp_path):
    good = tmp_path / "good.png"
    Image.fromarray(examples_of_each_digit()[0]).resize((90, 90)).save(good)
    content = good.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 0xFF
    files = {
        "cut.png": (content[: len(content) // 2], "is damaged"),
        "flipped.png": (bytes(flipped), "is damaged"),
        "text.png": (b"I am a picture", "is no picture"),
        "empty.png": (b"", "is empty"),
        "bomb.png": (png(60000, 60000, bytes(100)), "has more than"),
        "large.png": (png(10000, 10000, bytes(100)), "has more than"),
        "grey.png": (png(40, 40, (b"\0" + b"\x4d" * 40) * 40), "is blank"),
    }
    for name, (body, said) in files.items():
        (tmp_path / name).write_bytes(body)
        sentence = fails("predict", good, tmp_path / name)
        assert said in sentence
        assert name in sentence
    assert "there is no file" in fails("predict", tmp_path / "missing.png")
    assert "is a folder" in fails("predict", tmp_path)
    with inside(tmp_path):
        assert "run numcnn train first" in fails("predict", "good.png")


def test_a_terminal_without_blocks_gets_ascii(home, tmp_path):
    Image.fromarray(examples_of_each_digit()[1]).save(tmp_path / "one.png")
    result = process("predict", str(tmp_path / "one.png"), cwd=home, PYTHONIOENCODING="ascii")
    assert result.returncode == 0, result.stderr
    assert result.stdout.isascii()
    assert b"#" in result.stdout


# ---- gradcheck, summary, and the rest -----------------------------------------------------------


@pytest.mark.parametrize("name", ["MaxPool2d", "relu", "LINEAR", "MSELoss", "NLLLoss"])
def test_gradcheck_passes(name):
    result = call("gradcheck", "--layer", name, "--device", "reference", COLUMNS="160")
    assert result.exit_code == 0, result.output
    rows = [line for line in result.stdout.splitlines() if " pass " in line]
    assert len(rows) == sum(case.name.lower() == name.lower() for case in gradcheck_all.CASES)
    assert re.search(r"^\d+ checks passed; [\d,]+ elements were compared$", result.stdout, re.M)


def test_gradcheck_on_the_cpu():
    assert call("gradcheck", "--layer", "tanh").exit_code == 0


def test_gradcheck_covers_every_layer_and_loss():
    known = {getattr(module, name) for module in (layers, losses) for name in module.__all__}
    known = {c.__name__ for c in known if isinstance(c, type)} - {"Layer", "Chain", "Parameter"}
    # Step's gradient is 0 everywhere, so there is nothing to compare (test_gradcheck.py)
    assert known - {"Loss", "Step"} <= set(gradcheck_all.names())


def test_gradcheck_reports_a_wrong_gradient(monkeypatch):
    monkeypatch.setattr(layers.Sigmoid, "_backward", lambda self, dy: dy)
    result = call("gradcheck", "--layer", "sigmoid", "--device", "reference")
    assert result.exit_code == 1
    assert "fail" in result.stdout
    assert "the backward pass is wrong" in result.stdout
    assert re.search(r"at x\[\d, \d\]: analytic \S+, numeric", result.stdout)
    assert "1 of 1 checks did not show" in result.stdout


def test_gradcheck_explains_float32():
    result = call("gradcheck", "--layer", "tanh", "--device", "reference", "--dtype", "float32")
    assert result.exit_code == 1
    assert "precision: differences of float32 numbers can't judge a gradient" in result.stdout


def test_gradcheck_refuses():
    assert "did you mean 'conv2d'" in fails("gradcheck", "--layer", "conv3d")
    assert "there is no device" in fails("gradcheck", "--device", "tpu")
    assert "dtype must be" in fails("gradcheck", "--layer", "relu", "--dtype", "int8")


def test_summary():
    assert "1,199,882" in call("summary", "lenet").stdout
    assert "22,466" in call("summary", "cifar-demo").stdout
    assert "394,634" in call("summary", "mlp", "--data", "cifar10").stdout
    assert "there is no model" in fails("summary", "vgg")


COMMANDS = ("train", "evaluate", "predict", "gradcheck", "summary", "doctor")
COMMANDS += ("diagnose", "gallery")


def test_help():
    result = call("--help")
    assert result.exit_code == 0
    assert all(command in result.stdout for command in COMMANDS)
    assert "numcnn train" in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_commands_gives_examples(command):
    result = call(command, "-h")
    assert result.exit_code == 0
    assert f"\n numcnn {command}" in result.stdout.partition("Examples")[2]


def test_version_debug_and_unknown_commands(monkeypatch):
    assert call("--version").stdout == f"numcnn {numcnn.__version__}\n"
    assert "No such command 'trian'" in usage("trian")
    for args, env in ((("--debug",), {}), ((), {"NUMCNN_DEBUG": "1"})):
        result = call("summary", "vgg", *args, **env)
        assert result.exit_code == 2
        assert "Traceback" in result.stderr
        assert result.stderr.splitlines()[-1].startswith("numcnn: there is no model 'vgg'")


def test_help_does_not_wait_for_the_compiler(tmp_path):
    code = (
        "import sys, numcnn.cli; print([m for m in ('numba', 'PIL', 'scipy') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert shown.stdout.strip() == b"[]"
    assert process("--help", cwd=tmp_path).returncode == 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for other processes")
def test_ctrl_c_ends_with_one_sentence(tmp_path):
    # a test run in the background of a shell begets children that ignore Ctrl-C
    heed = "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    start = heed + "runpy.run_module('numcnn', run_name='__main__', alter_sys=True)"
    with subprocess.Popen(
        [sys.executable, "-c", start, "train", "--model", "mlp", "--device", "reference"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        for line in running.stdout:
            if line.startswith(b"device"):
                break
        time.sleep(0.5)
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=60)
    assert errors == b"numcnn: stopped by Ctrl-C\n"
    assert running.returncode == 130


# ---- warmup -----------------------------------------------------------------------------------


compiled = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled")


def warmup(folder, *args):
    arguments = ("warmup", "--model", "mlp", "--optimizer", "sgd", *args)
    return process(*arguments, cwd=folder, NUMCNN_CACHE_DIR=str(folder), NUMCNN_CACHE="1")


@compiled
def test_warmup_compiles_what_is_missing_and_says_so(tmp_path):
    """Of all kernels of a network but some, which other tests have compiled."""
    here = _cache.folder()
    shared = warmup(here.parent.parent)
    assert shared.returncode == 0, shared.stderr
    there = tmp_path / here.parent.name / here.name
    there.mkdir(parents=True)
    for entry in here.glob("*.nbc"):
        if "sgd_update" not in entry.name and "sum_rows" not in entry.name:
            (there / entry.name).symlink_to(entry)
    before = set(there.iterdir())
    listed = warmup(tmp_path, "--list").stdout.decode().splitlines()
    assert listed[-1] == f"{len(listed) - 1} kernels to compile"
    assert set(listed[:-1]) <= {"sgd.sgd_update", "_reduce.sum_rows"}
    assert "sgd.sgd_update" in listed
    assert set(there.iterdir()) == before
    done = warmup(tmp_path, "--jobs", "1")
    assert done.stdout.decode().startswith(f"compiled {len(listed) - 1} kernels in "), done.stderr
    assert len(set(there.iterdir()) - before) == len(listed) - 1
    assert warmup(tmp_path).stdout.startswith(b"nothing to compile")


@compiled
@pytest.mark.long
def test_warmup_compiles_and_says_what_it_did(tmp_path):
    listed = warmup(tmp_path, "--list").stdout.decode().splitlines()
    assert "sgd.sgd_update" in listed
    number = len(listed) - 1
    assert listed[-1] == f"{number} kernels to compile"
    assert len(entries := list(tmp_path.rglob("*.nbc"))) == 0, entries
    done = warmup(tmp_path, "--jobs", "1")
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode()
    assert re.match(rf"compiled {number} kernels in \d+ s, 1 process\n", text)
    (folder,) = {path.parent for path in tmp_path.rglob("*.nbc")}
    assert re.search(
        rf"^cache: {number} kernels, [\d.]+ \w+, in {re.escape(str(folder))}$", text, re.M
    )
    assert warmup(tmp_path).stdout.startswith(b"nothing to compile")


def test_warmup_refuses_what_it_cant_do(monkeypatch):
    assert "lenett" in fails("warmup", "--model", "lenett")
    assert "adamm" in fails("warmup", "--optimizer", "adamm")
    monkeypatch.setenv("NUMCNN_CACHE", "0")
    assert "NUMCNN_CACHE=0 turns it off" in fails("warmup", "--model", "mlp")

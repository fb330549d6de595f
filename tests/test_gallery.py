"""The gallery: each run shows what it claims, on seeds that `diagnose` wasn't made with."""

import os
import re

import numba
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from numcnn import diagnose, gallery
from numcnn.cli import app

SEEDS = (0, 200)
MORE = "NUMCNN_ALL_SEEDS"


@pytest.fixture(scope="module")
def histories():
    """Return {(name, seed): history} of all runs; some ten seconds."""
    return {(name, seed): gallery.run(name, seed) for name in gallery.NAMES for seed in SEEDS}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", gallery.NAMES)
def test_each_run_is_recognised(histories, name, seed):
    found = diagnose(histories[name, seed])
    assert found.name == name, found


@pytest.mark.slow
@pytest.mark.skipif(MORE not in os.environ, reason=f"takes some minutes; {MORE}=1 asks for it")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", gallery.NAMES)
def test_each_run_is_recognised_nine_times_of_ten(name):
    found = [diagnose(gallery.run(name, seed)).name for seed in range(300, 330)]
    assert found.count(name) >= 27, found


# ---- each run shows what its caption says -------------------------------------------------------


def test_healthy_learns(histories):
    for seed in SEEDS:
        assert histories["healthy", seed]["val_accuracy"][-1] > 0.8  # chance is 10%


def test_overfitting_learns_by_heart(histories):
    for seed in SEEDS:
        run = histories["overfitting", seed]
        assert run["accuracy"][-1] == 1
        assert run["val_loss"][-1] > min(run["val_loss"])


def test_underfitting_is_the_same_on_both(histories):
    for seed in SEEDS:
        run = histories["underfitting", seed]
        assert run["loss"][-1] == pytest.approx(run["val_loss"][-1], rel=0.05)
        assert run["loss"][-1] > histories["healthy", seed]["loss"][-1] * 3


def test_exploding_grows_for_some_epochs(histories):
    for seed in SEEDS:
        losses = np.array(histories["exploding", seed].batch_losses)
        lost = np.argmin(np.isfinite(losses))
        assert len(losses) / 5 < lost < len(losses) * 4 / 5  # the picture has room for both
        assert losses[lost - 1] > 1e30


def test_dead_units_are_recorded_in_every_run_with_relus(histories):
    for (name, _), run in histories.items():
        if name != "exploding":  # linear regression
            assert len(run["dead"]) == len(run)
    assert all(histories["dead ReLU", seed]["dead"][0] > 0.5 for seed in SEEDS)


def test_confusion_is_there_at_once(histories):
    for seed in SEEDS:
        run = histories["train/eval confusion", seed]
        assert run["val_loss"][0] > run["loss"][0]
        assert run["accuracy"][-1] > 0.9 > run["val_accuracy"][-1]


def test_the_seed_decides_everything(histories):
    again = gallery.run("unshuffled data", SEEDS[0])
    assert again.batch_losses == histories["unshuffled data", SEEDS[0]].batch_losses
    assert again.batch_losses != histories["unshuffled data", SEEDS[1]].batch_losses


# ---- run ----------------------------------------------------------------------------------------


def test_names_and_words():
    assert gallery.NAMES[0] == "healthy"
    assert len(gallery.NAMES) == 9
    for name in gallery.NAMES:
        assert "Seen: " in gallery.RUNS[name].__doc__
        if name != "healthy":
            assert re.search(r"Why: .*Remedy: ", gallery.RUNS[name].__doc__, re.DOTALL)


def test_unknown_names_are_explained():
    with pytest.raises(ValueError, match="did you mean 'dead ReLU'"):
        gallery.run("dead relu")


def test_threads_are_given_back(monkeypatch):
    before = numba.get_num_threads()
    seen = []

    def fail(seed):
        seen.append(numba.get_num_threads())
        raise ZeroDivisionError

    monkeypatch.setitem(gallery.RUNS, "healthy", fail)
    with pytest.raises(ZeroDivisionError):
        gallery.run("healthy")
    assert seen == [1]
    assert numba.get_num_threads() == before


# ---- the picture and the command ----------------------------------------------------------------


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_the_picture_shows_the_curves_and_the_verdicts(histories, tmp_path):
    pytest.importorskip("matplotlib", reason="the extra 'plot' is not installed")
    runs = {name: histories[name, 0] for name in gallery.NAMES}
    figure = gallery.plot(0, tmp_path / "gallery.png", runs)
    with Image.open(tmp_path / "gallery.png") as picture:
        assert picture.size > (1000, 1000)
    assert [axes.get_title() for axes in figure.axes] == list(gallery.NAMES)
    for name, axes in zip(gallery.NAMES, figure.axes, strict=True):
        assert gallery.CAPTIONS[name] in texts(axes)
        assert f"diagnose: {name}" in texts(axes)
        batches, training, validation = (line.get_ydata() for line in axes.lines)
        np.testing.assert_array_equal(batches, runs[name].batch_losses)
        np.testing.assert_array_equal(training, runs[name]["loss"])
        np.testing.assert_array_equal(validation, runs[name]["val_loss"])


def test_a_wrong_verdict_is_drawn_in_red(histories):
    pytest.importorskip("matplotlib", reason="the extra 'plot' is not installed")
    runs = {name: histories["healthy", 0] for name in gallery.NAMES}
    figure = gallery.plot(histories=runs)
    colors = [axes.texts[-1].get_color() for axes in figure.axes]
    assert colors == ["tab:green"] + ["tab:red"] * 8


def test_a_missing_matplotlib_is_explained(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install numcnn\[plot\]"):
        gallery.plot()


def test_the_command_trains_and_draws(histories, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib", reason="the extra 'plot' is not installed")
    monkeypatch.setattr(gallery, "run", lambda name, seed: histories[name, seed])
    path = tmp_path / "curves.PNG"
    result = CliRunner().invoke(app, ["gallery", "--output", str(path), "--seed", "200"])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    for name, line in zip(gallery.NAMES, lines, strict=False):
        assert re.fullmatch(rf"{name} +\d+\.\d s  diagnosis: {name}", line)
    assert lines[9:] == [f"picture: {path}"]
    assert path.is_file()


def test_the_command_finds_what_cannot_work_first(tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "run", lambda *_: pytest.fail("it began to train"))
    for name, words in (
        ("curves.txt", "should end in .png, .pdf or .svg"),
        (os.path.join("none", "curves.png"), "there is no folder"),
    ):
        result = CliRunner().invoke(app, ["gallery", "--output", str(tmp_path / name)])
        assert result.exit_code == 2
        assert words in result.stderr
    monkeypatch.setattr("numcnn.cli_gallery.importlib.util.find_spec", lambda name: None)
    result = CliRunner().invoke(app, ["gallery"])
    assert "pip install 'numcnn[plot]'" in result.stderr

"""Every picture is drawn, saved and says what it shows; and ``numcnn pictures`` writes them all."""

import os
import re
import sys

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import numcnn
from numcnn import Conv2d, Flatten, Linear, LogSoftmax, MaxPool2d, ReLU, Sequential, pictures
from numcnn.checkpoint import load_weights
from numcnn.cli import app
from numcnn.cli_pictures import NAMES
from numcnn.pictures.album import PAGES

RNG = np.random.default_rng(4)
COLOUR = RNG.standard_normal((3, 10, 9)).astype(np.float32)


def network(channels=3):
    layers = [Conv2d(channels, 4, 3), ReLU(), Conv2d(4, 5, 3), MaxPool2d(2)]
    model = Sequential(*layers, Flatten(), Linear(30, 24), ReLU(), Linear(24, 4), seed=1)
    model.input_shape = (1, channels, 10, 9)
    return model


X, Y = RNG.standard_normal((6, 3, 10, 9)), np.array([0, 1, 2, 3, 0, 1])
FIGURES = {
    "filters-colour": lambda: pictures.filters(network()),
    "filters-grey": lambda: pictures.filters(network(1)),
    "filters-deep": lambda: pictures.filters(network(), 2),
    "maps-all": lambda: pictures.feature_maps(network(), COLOUR),
    "maps-of-one": lambda: pictures.feature_maps(network(), COLOUR, 3),
    "maps-vector": lambda: pictures.feature_maps(network(), COLOUR, 5),
    "maps-idle": lambda: pictures.feature_maps(network(), COLOUR, 4),
    "maps-grey": lambda: pictures.feature_maps(network(1), COLOUR[:1]),
    "maps-two-channels": lambda: pictures.feature_maps(network(2), COLOUR[:2]),
    "saliency": lambda: pictures.saliency(network(), COLOUR),
    "maximum": lambda: pictures.activation_maximization(network(), (1, 2, 2), 2, 3),
    "dream": lambda: pictures.deep_dream(network(), COLOUR, 2, octaves=1, steps=2),
    "field": lambda: pictures.receptive_field(network(), 3),
    "field-of-all": lambda: pictures.receptive_field(network(), 5),
    "dead": lambda: pictures.dead_units(network(), X),
    "flow": lambda: pictures.gradient_flow(network(), X, Y),
    "tuning-one": lambda: pictures.tuning_curves(RNG.standard_normal((1, 1, 5, 5)), 4),
    "tuning-many": lambda: pictures.tuning_curves(RNG.standard_normal((13, 3, 5, 5)), 4),
}


def texts(figure):
    """Return all that is written in a figure's titles."""
    whole = figure.get_suptitle()
    return " | ".join([whole, *(axes.get_title() for axes in figure.axes)])


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_drawn_and_saved(name, tmp_path):
    from matplotlib.figure import Figure

    found = FIGURES[name]()
    figure = found.plot(tmp_path / "a.png")
    assert isinstance(figure, Figure)
    with Image.open(tmp_path / "a.png") as image:
        assert image.format == "PNG"
        assert np.asarray(image.convert("L")).std() > 5  # something is drawn
    assert texts(figure).strip(" |")


def test_the_ending_decides_the_format(tmp_path):
    FIGURES["saliency"]().plot(tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")


def test_what_the_figures_say():
    assert "Filters of layer 0: 4 of 3×3" in texts(FIGURES["filters-colour"]().plot())
    assert "in 4 channels" in texts(FIGURES["filters-deep"]().plot())
    many = pictures.Filters("0", RNG.standard_normal((70, 1, 3, 3)))
    assert "70 of 3×3, the first 64 shown" in texts(many.plot())
    maps = texts(FIGURES["maps-all"]().plot())
    assert "0 Conv2d: 4 maps of 8×7" in maps
    assert "7 Linear: 4 numbers" in maps
    assert "Flatten" not in maps
    assert "4 Flatten: 30 numbers" in texts(FIGURES["maps-idle"]().plot())
    assert "sees 6×6" in texts(FIGURES["field"]().plot())
    assert "sees all" in texts(FIGURES["field-of-all"]().plot())
    assert "all of 6 examples" in texts(FIGURES["dead"]().plot())
    assert "layer 2 (Conv2d)" in texts(FIGURES["dream"]().plot())
    assert "unit 1, 2, 2 of layer 2 (Conv2d)" in texts(FIGURES["maximum"]().plot())
    tuning = texts(FIGURES["tuning-many"]().plot())
    assert "filter 11" in tuning
    assert "filter 12" not in tuning


def test_greys_are_drawn_on_a_symmetric_scale():
    found = FIGURES["filters-grey"]()
    (image,) = found.plot().axes[0].get_images()
    assert image.get_clim() == (-found.largest, found.largest)
    assert np.nanmax(np.abs(image.get_array())) == pytest.approx(found.largest)


def test_several_at_once():
    model = network()
    maxima = [pictures.activation_maximization(model, unit, steps=2) for unit in range(4)]
    figure = pictures.plot_maxima([*maxima, *maxima[:3]])
    assert "unit 3" in texts(figure)
    assert len(figure.axes) == 10
    fields = [pictures.receptive_field(model, layer) for layer in (0, 2, 3)]
    figure = pictures.plot_receptive_fields(fields, picture=COLOUR)
    assert all(f"sees {n}×{n}" in texts(figure) for n in (3, 5, 6))
    for draw in (pictures.plot_maxima, pictures.plot_receptive_fields):
        with pytest.raises(ValueError, match="there is no"):
            draw([])


def test_a_field_beyond_the_rim_is_drawn_whole():
    model = Sequential(Conv2d(1, 1, 5, padding=2))
    axes = pictures.receptive_field(model, 0, (1, 6, 6), (0, 5)).plot().axes[0]
    assert axes.get_xlim()[1] >= 7.5
    assert axes.get_ylim()[1] <= -2.5


def test_gradients_of_zero_and_scores_of_nothing_are_drawn():
    model = Sequential(Flatten(), Linear(4, 3, bias=False), Linear(3, 2), LogSoftmax())
    model[1].weight.data = np.zeros((3, 4))
    model[2].weight.data = np.zeros((2, 3))
    found = pictures.gradient_flow(model, np.ones((2, 1, 2, 2)), np.array([0, 0]), "nll")
    assert found.gradients["1"] == 0
    assert "0" in [text.get_text() for text in found.plot().axes[0].texts]
    pictures.saliency(model, np.ones((1, 2, 2))).plot()


@pytest.mark.parametrize("name", ["filters-grey", "flow", "field"])
def test_without_matplotlib(name, monkeypatch):
    found = FIGURES[name]()  # the numbers need none
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install numcnn\[plot\]"):
        found.plot()


# ---- the command --------------------------------------------------------------------------


def call(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


def fails(*args):
    result = call(*args)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    assert result.stderr.startswith("numcnn: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with the weights of an untrained LeNet and MLP, as a training leaves them."""
    folder = tmp_path_factory.mktemp("home")
    for name in ("mlp", "lenet"):
        model = numcnn.models.ZOO[name](seed=0)
        (folder / "runs" / name).mkdir(parents=True)
        header = {"model": name, "data": "digits", "mean": "[0.1307]", "std": "[0.3081]"}
        model.save(folder / "runs" / name / "weights.safetensors", header)
    return folder


@pytest.fixture
def inside(home, monkeypatch):
    monkeypatch.chdir(home)
    return home


def test_the_command_writes_every_picture(inside, monkeypatch):
    weights = os.path.join("runs", "lenet", "weights.safetensors")
    os.utime(weights, (2e9, 2e9))  # the newest
    monkeypatch.setattr("numcnn.pictures.album.DREAM", {"octaves": 1, "steps": 1})
    monkeypatch.setattr("numcnn.pictures.album.UNITS", 1)
    result = call("pictures")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == f"weights: {weights}"
    for name, line in zip(PAGES, lines[1:], strict=True):
        path = os.path.join("runs", "lenet", "pictures", f"{name}.png")
        assert line == f"{path}: {PAGES[name].see}"
        with Image.open(path) as image:
            assert min(image.size) > 200


def test_only_some_pictures_of_given_weights(inside, tmp_path):
    weights = inside / "runs" / "mlp" / "weights.safetensors"
    options = ("--only", "saliency", "--only", "dead-units", "--example", 300)
    result = call("pictures", weights, *options, "--output", tmp_path / "new")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "dead-units.png",
        "saliency.png",
    ]


def test_what_does_not_apply_is_left_out(inside, tmp_path):
    weights = inside / "runs" / "mlp" / "weights.safetensors"
    result = call("pictures", weights, "--only", "filters", "--output", tmp_path)
    assert result.exit_code == 0
    assert "filters: left out, mlp has no Conv2d" in result.stdout
    assert not list(tmp_path.iterdir())


def test_the_command_refuses(inside, tmp_path, monkeypatch):
    assert "there is no picture 'salience'; did you mean 'saliency'?" in fails(
        "pictures", "--only", "salience"
    )
    assert "there is no test picture 2000; they are 0 to 1999" in fails(
        "pictures", "--example", 2000
    )
    assert "there is no file nowhere" in fails("pictures", "nowhere")
    (tmp_path / "file").touch()
    assert "can't be written" in fails("pictures", "--output", tmp_path / "file")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "matplotlib.figure", None)
        assert "pip install numcnn[plot]" in fails("pictures")
    monkeypatch.chdir(tmp_path)
    assert "run numcnn train first" in fails("pictures")


def test_the_weights_are_not_changed(inside, tmp_path):
    weights = inside / "runs" / "mlp" / "weights.safetensors"
    before, _ = load_weights(weights)
    call("pictures", weights, "--output", tmp_path, "--only", "gradient-flow")
    after, _ = load_weights(weights)
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_help_names_the_pictures():
    result = call("pictures", "--help")
    assert result.exit_code == 0
    words = set(re.findall(r"[a-z-]+", result.output))
    assert {"filters", "saliency", "--only", "--example", "--output"} <= words
    assert NAMES.split(", ") == list(PAGES)

"""Whatever array a layer is handed, it gives the right answer or says what is wrong.

Layouts and types are compared, bit for bit, with what the layer makes of a plain copy. Pictures
that lie channels last are added up in another order: there both are held to the bound that
follows from the sums' length (`numcnn.layer_bounds`). NaN and infinities are compared with the
reference: an algorithm may spread them to more numbers than the definition does, never to fewer.
"""

import numpy as np
import pytest
from checks_kernels import channels_last
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from numcnn import TooLargeError, layers, memory
from numcnn.audit import AUDITS
from numcnn.gradcheck_cases import CASES, Case
from numcnn.layer_bounds import Passes, both_passes

SMALL = [case for case in CASES if case.target is None] + [Case(layers.Step, (3, 7))]


def thorough(count):
    return settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


class Own(np.ndarray):
    """An array of a class of the user's."""


def unaligned(array):
    raw = np.empty(array.nbytes + 1, np.uint8)
    copy = raw[1:].view(array.dtype).reshape(array.shape)
    copy[...] = array
    assert array.itemsize == 1 or not copy.flags.aligned
    return copy


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def reversed_strides(array):
    every = (slice(None, None, -1),) * array.ndim
    return array[every].copy()[every]


LAYOUTS = {
    "fortran": np.asfortranarray,
    "negative strides": reversed_strides,
    "read-only": read_only,
    "unaligned": unaligned,
    "every other": lambda array: np.repeat(array, 2, axis=-1)[..., ::2],
    "big-endian": lambda array: array.astype(array.dtype.newbyteorder(">")),
    "subclass": lambda array: array.view(Own),
    "channels last": lambda array: channels_last(array) if array.ndim == 4 else array,
}
KINDS = {"f2": 1, "f4": 1, "i1": 20, "u8": 20, "i8": 20, "?": 1}  # and how far their numbers go


def made(case):
    layer = case.build()
    layer.reseed(1)
    return layer


def numbers(seed, shape, kind):
    values = KINDS[kind] * np.random.default_rng(seed).standard_normal(shape)
    return (np.abs(values) if kind == "u8" else values).astype(kind)


def check_layout(index, layout, kind, seed):
    case = AUDITS[index]
    x = numbers(seed, case.shape, kind)
    dy = numbers(seed + 1, made(case).output_shape(case.shape), "f4")
    plain = both_passes(made(case), np.array(x, np.float32), dy)
    before = x.copy()
    given = LAYOUTS[layout](x)
    found = both_passes(made(case), given, LAYOUTS[layout](dy))
    np.testing.assert_array_equal(np.asarray(given), before, "the layer changed its input")
    bounds = {}
    if layout == "channels last" and given.ndim == 4:
        wide, exact = np.array(x, np.float64), made(case).to("float64")
        exact.load_state_dict(made(case).state_dict())
        found_exactly = both_passes(exact, wide, dy.astype(np.float64))
        passes = Passes(case.build, exact, wide, dy.astype(np.float64), found_exactly, case.length)
        bounds = {name: bound for name, (_, bound) in case.bound(passes).items()}
    for name, expected in plain.items():
        assert found[name].dtype == np.float32
        if name in bounds:
            error = np.abs(found[name].astype(np.float64) - expected)
            assert (error <= 2 * bounds[name]).all(), name
        else:
            np.testing.assert_array_equal(found[name], expected, f"{name} of {case.name}")


ways = (
    st.integers(0, len(AUDITS) - 1),
    st.sampled_from(sorted(LAYOUTS)),
    st.sampled_from(sorted(KINDS)),
    st.integers(0, 99),
)


def test_layouts_and_types():
    thorough(40)(given(*ways)(check_layout))()


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("index", range(len(AUDITS)), ids=lambda i: f"{AUDITS[i].name}-{i}")
def test_every_layer_in_every_layout(index, layout):
    for seed, kind in enumerate(KINDS):
        check_layout(index, layout, kind, seed)


# ---- what is no array of numbers --------------------------------------------------------------

STRANGE = {
    "complex": np.ones((2, 3), complex),
    "objects": np.ones((2, 3), object),
    "words": "pixels",
    "bytes": b"pixels",
    "dates": np.zeros(3, "M8[s]"),
    "records": np.zeros(3, [("a", "f4")]),
    "ragged": [[1, 2], [3]],
    "nothing": None,
    "a mapping": {"x": 1},
    "80 bits": np.ones(3, np.longdouble),
    "masked": np.ma.masked_array([1.0, 2.0], [True, False]),
}


@pytest.mark.parametrize("what", STRANGE)
def test_what_is_no_array_of_numbers_is_refused_by_name(what):
    if what == "80 bits" and np.dtype(np.longdouble).itemsize == 8:
        pytest.skip("a long double is a double here")
    for case in SMALL:
        layer = case.build()
        with pytest.raises((ValueError, TypeError)) as caught:
            layer(STRANGE[what])
        assert repr(layer) in str(caught.value)


# ---- shapes -----------------------------------------------------------------------------------

sides = st.one_of(st.integers(0, 7), st.just(1))


def near(shape):
    """Return shapes that differ from one that fits in a few places, and others."""
    changed = st.tuples(st.integers(0, len(shape) - 1), sides).map(
        lambda change: (*shape[: change[0]], change[1], *shape[change[0] + 1 :])
    )
    return st.one_of(changed, st.lists(sides, max_size=6).map(tuple), st.just((1,) * 33))


def check_shape(index, data):
    case = SMALL[index]
    shape = data.draw(near(case.shape))
    layer, reference = made(case), made(case).to("reference")
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    try:
        y = layer(x)
    except (ValueError, TypeError) as error:
        names = {type(each).__name__ for each in layer.layers()}
        assert any(name in str(error) for name in names), error
        with pytest.raises(type(error)):
            reference(x)
        return
    assert y.shape == layer.output_shape(shape) == reference(x).shape
    dy = np.ones(y.shape, np.float32)
    dx = layer.backward(dy)
    assert dx.shape == shape
    reference.backward(dy)
    for one, other in zip(layer.parameters(), reference.parameters(), strict=True):
        assert one.grad.shape == one.shape
        if 0 in shape:
            np.testing.assert_array_equal(one.grad, other.grad)


def test_shapes():
    indices = st.integers(0, len(SMALL) - 1)
    thorough(150)(given(indices, st.data())(check_shape))()


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("index", range(len(SMALL)), ids=lambda i: f"{SMALL[i].name}-{i}")
def test_many_shapes(index):
    thorough(300)(given(st.just(index), st.data())(check_shape))()


@pytest.mark.parametrize("index", range(len(SMALL)), ids=lambda i: f"{SMALL[i].name}-{i}")
def test_a_batch_without_examples_has_no_gradient(index):
    case = SMALL[index]
    layer = made(case)
    x = np.ones((0, *case.shape[1:]), np.float32)
    if isinstance(layer, layers.MaxUnpool2d):
        with pytest.raises(ValueError, match=r"MaxUnpool2d.* got an input of shape \(0, "):
            layer(x)  # its pooling had examples
        return
    y = layer(x)
    assert y.shape == layer.output_shape(x.shape)
    assert layer.backward(y).shape == x.shape
    for parameter in layer.parameters():
        assert not parameter.grad.any()


# ---- NaN and infinities -----------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("index", range(len(SMALL)), ids=lambda i: f"{SMALL[i].name}-{i}")
def test_what_is_no_number_stays_visible(index, value):
    case = SMALL[index]
    rng = np.random.default_rng(index)
    x = case.x(rng, case.shape).astype(np.float32)
    x.flat[rng.integers(x.size)] = value
    layer, reference = made(case), made(case).to("reference")
    dy = rng.standard_normal(layer.output_shape(case.shape)).astype(np.float32)
    with np.errstate(all="ignore"):
        found, expected = both_passes(layer, x, dy), both_passes(reference, x, dy)
    assert not np.isfinite(x).all()
    for name, defined in expected.items():
        lost = np.isfinite(found[name]) & ~np.isfinite(defined)
        assert not lost.any(), f"{name}: {defined[lost]} became {found[name][lost]}"


# ---- sizes --------------------------------------------------------------------------------------

X = np.ones((1, 1, 5, 5), np.float32)
HUGE = {
    "weights": (lambda: layers.Conv2d(1, 10**9, 3), "a parameter of shape"),
    "padding": (lambda: layers.Conv2d(1, 1, 3, padding=10**6), "the output of shape"),
    "upsample": (lambda: layers.Upsample(size=10**6), "the output of shape"),
    "factor": (lambda: layers.Upsample(scale_factor=1e300), "more than a billion GB"),
    "transposed": (lambda: layers.ConvTranspose2d(1, 1, 3, 10**6), "the output of shape"),
    "adaptive": (lambda: layers.AdaptiveAvgPool2d(10**6), "the output of shape"),
    "frame": (lambda: layers.ZeroPad2d(10**6), "the output of shape"),
    "copied frame": (
        lambda: layers.Conv2d(1, 1, 1, 10**6, 10**6, padding_mode="replicate"),
        "the padded picture of shape",
    ),
    "branch": (lambda: layers.Residual(layers.Upsample(size=10**6)), "Residual"),
}


@pytest.mark.parametrize("name", HUGE)
def test_what_takes_too_much_memory_says_how_much(name, monkeypatch):
    monkeypatch.setattr(memory, "free", lambda: 10**9)
    build, said = HUGE[name]
    layer = layers.Residual(build(), build()) if name == "branch" else build()
    with pytest.raises(TooLargeError, match=r"GB of memory, and 1\.0 GB are free here; ") as caught:
        layer(X)
    assert said in str(caught.value)
    assert type(layer).__name__ in str(caught.value)


def test_a_view_of_one_number_isnt_copied_a_billion_times(monkeypatch):
    monkeypatch.setattr(memory, "free", lambda: 10**9)
    wide = np.broadcast_to(np.float32(1), (10**5, 10**5))
    with pytest.raises(TooLargeError, match=r"the input of ReLU\(\), turned into 10,000,000,000"):
        layers.ReLU()(wide)


def test_where_nobody_says_how_much_is_free_nothing_is_refused(monkeypatch):
    monkeypatch.setattr(memory, "free", lambda: None)
    memory.need_memory(10**15, "a test", "none")


@pytest.mark.parametrize(
    "argument", ["in_channels", "kernel_size", "stride", "dilation", "padding"]
)
def test_sizes_end_where_the_kernels_arithmetic_does(argument):
    sizes = {"in_channels": 1, "out_channels": 1, "kernel_size": 1} | {argument: 2**31}
    with pytest.raises(ValueError, match=f"{argument} must be at most 2,147,483,647, got"):
        layers.Conv2d(**sizes)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("stride", [7, 10**4, 2**31 - 1])
def test_a_step_past_the_end_is_as_good_as_any_other(stride):
    """It once prepared for each of its steps, which took hours."""
    dy, x = np.ones((1, 2, 1, 1), np.float32), np.ones((1, 1, 6, 5), np.float32)
    found = []
    for step in (stride, 100):
        layer = layers.Conv2d(1, 2, 3, step, 1)
        layer.reseed(0)
        found.append(both_passes(layer, x, dy))
    for name, expected in found[1].items():
        np.testing.assert_array_equal(found[0][name], expected, name)
    turned = layers.ConvTranspose2d(2, 1, 3, stride)
    assert both_passes(turned, dy, np.ones((1, 1, 3, 3), np.float32))["dx"].shape == dy.shape


@pytest.mark.timeout(60)
def test_windows_far_larger_than_the_picture_end_soon():
    assert layers.MaxPool2d(2**20, padding=2**19)(X).item() == 1
    assert layers.AvgPool2d(2**20, padding=2**19)(X).item() == 25 / 2**40
    assert layers.LocalResponseNorm(2**31 - 1)(X).shape == X.shape


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (lambda: layers.Softmax(dim=1.5), "dim"),
        (lambda: layers.Concat(layers.Identity(), dim=2.7), "dim"),
        (lambda: layers.Flatten("all"), "start_dim"),
        (lambda: layers.Flatten(1, True), "end_dim"),
    ],
)
def test_an_axis_is_a_whole_number(build, name):
    with pytest.raises(TypeError, match=f"^{name} must be the number of an axis, got "):
        build()


def test_a_slope_for_a_single_number():
    layer = layers.PReLU()
    assert both_passes(layer, np.float32(-2), np.float32(1))["y"].shape == ()

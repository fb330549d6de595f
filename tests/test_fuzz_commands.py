"""Command lines that can't be meant end with one sentence and exit code 2, and leave nothing."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from numcnn.cli import app

HUGE = "9" * 30
FILES = ("missing.safetensors", "zip", "folder", "empty")
# for each command: what it needs, and for each option values that it must refuse
COMMANDS = {
    "train": (
        (),
        {
            "--model": ("nope", "", "LENET!", "\0"),
            "--data": ("nope", "../digits"),
            "--epochs": ("0", "-1", HUGE, "1.5", "nan"),
            "--batch-size": ("0", "-3", "x"),
            "--optimizer": ("nope", "__class__"),
            "--lr": ("nan", "inf", "-1", "0", "1e999", "x"),
            "--schedule": ("nope",),
            "--device": ("nope", "gpu"),
            "--seed": ("-1", "1e3"),
            "--limit": ("0", "-1", "all"),
            "--shift": ("-1", "x"),
            "--output": ("/dev/null/runs", "zip"),
        },
    ),
    "evaluate": ((), {"": FILES, "--limit": ("0",), "--batch-size": ("0", "x")}),
    "predict": (("zip",), {"": FILES, "--weights": FILES}),
    "summary": ((), {"": ("nope", "", "-1"), "--data": ("nope",)}),
    "gradcheck": (
        ("--layer", "relu"),
        {
            "--layer": ("nope", ""),
            "--device": ("nope",),
            "--dtype": ("float16", "int8", "object", "complex64"),
            "--seed": ("-1", "x"),
        },
    ),
    "audit": (("--layer", "relu"), {"--layer": ("nope", "mseloss"), "--seed": ("-1", "x")}),
    "doctor": ((), {"--conv": ("1 1 1 1 1 3", "0 0 0 0 0 0", f"1 1 {HUGE} 5 {HUGE} 3", "1 1 5")}),
    "lectures": ((), {"--topic": ("nope",), "": ("nope",)}),
    "warmup": ((), {"": ("nope",), "--batch-size": ("0",)}),
    "nope": ((), {"": ("", "-", "--help me")}),
}


@st.composite
def lines(draw):
    name = draw(st.sampled_from(sorted(COMMANDS)))
    given_first, options = COMMANDS[name]
    option = draw(st.sampled_from(sorted(options)))
    value = draw(st.sampled_from(options[option]))
    values = value.split(" ") if " " in value else [value]
    return [name, *given_first, *([option] if option else []), *values]


def check(line):
    result = CliRunner().invoke(app, line)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 2, result.output
    assert result.output.strip(), "it ended without a word"
    assert "Traceback" not in result.output


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Work in a folder with files that are none of what a command wants."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "zip").write_bytes(b"PK\3\4" + bytes(50))
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    return tmp_path


def fuzz(count):
    limits = settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    limits(given(lines())(check))()


def test_commands_that_cant_be_meant(folder):
    fuzz(20)
    assert sorted(path.name for path in folder.iterdir()) == ["empty", "folder", "zip"]


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_many_commands_that_cant_be_meant(folder):
    fuzz(600)
    assert sorted(path.name for path in folder.iterdir()) == ["empty", "folder", "zip"]

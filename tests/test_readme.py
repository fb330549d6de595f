"""The README's promises: its two commands, its Python, its command lines."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_quick_start_is_one_block_of_two_commands():
    section = README.split("## Quick start")[1].split("\n## ")[0]
    fenced = re.findall(r"^```\w*\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    assert len(fenced) == 1
    assert fenced[0].splitlines() == [
        "python -m pip install . && numcnn train",
        "python -m pip install tox && tox",
    ]


def test_ci_runs_the_test_command_of_the_quick_start():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert blocks("sh")[0].splitlines()[1] in script


def test_python_examples_run_in_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    examples = blocks("python")
    assert len(examples) == 3
    scope = {}
    for example in examples:
        exec(compile(example, "README.md", "exec"), scope)
    printed = capsys.readouterr().out
    assert scope["report"].ok
    assert scope["model"].evaluate(scope["x_test"], scope["y_test"]).accuracy > 0.8
    assert (tmp_path / "digits.safetensors").is_file()
    assert "1,352" in printed or "13,530" in printed  # the summary's figures for Linear(1352, 10)


@pytest.mark.parametrize("line", blocks("sh")[1].splitlines())
def test_commands_exist_with_these_options(line):
    from typer.testing import CliRunner

    from numcnn.cli import app

    words = shlex.split(line, comments=True)
    assert words[0] == "numcnn"
    shown = CliRunner().invoke(app, [words[1], "--help"])
    assert shown.exit_code == 0
    for option in (word for word in words if word.startswith("--")):
        assert option in shown.output

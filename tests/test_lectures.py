"""The facts of the course hold, and a fact that doesn't hold is found and said."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from numcnn import lectures
from numcnn.cli import app
from numcnn.kernels import reference
from numcnn.lectures.check import Check, Fact, text

FACTS = {f"{fact.topic}: {fact.statement}": fact for fact in lectures.FACTS}


def test_facts_are_told_apart():
    assert len(FACTS) == len(lectures.FACTS) >= 60
    assert sum(fact.shown for fact in lectures.FACTS) >= 14
    assert len(lectures.ERRATA) == 12


@pytest.mark.parametrize("name", FACTS)
def test_the_fact_holds(name, tmp_path):
    (result,) = lectures.replay([FACTS[name]], pictures=tmp_path)
    wrong = [line for line in result.lines if not line.holds]
    assert result.holds, f"{result.error} {wrong}"


def test_facts_leave_their_pictures(tmp_path):
    facts = [fact for fact in lectures.FACTS if fact.topic == "Seeing"]
    assert all(result.holds for result in lectures.replay(facts, pictures=tmp_path))
    found = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert set(found) == {"tuning.png", "maximum.png", "dream.png"}
    assert min(found.values()) > 5000


def test_the_errata_stand_in_the_documentation():
    page = Path(__file__).parent.parent / "docs" / "errata.md"
    if not page.is_file():
        pytest.skip("the tests run without the checkout")
    text = page.read_text(encoding="utf-8")
    for erratum in lectures.ERRATA:
        assert f"| {erratum.printed} | {erratum.correct} |" in text


@pytest.mark.parametrize("topic", ["Worked numbers", "Functions"])
def test_plain_python_agrees(topic):
    for result in lectures.replay([f for f in lectures.FACTS if f.topic == topic], "reference"):
        assert result.holds, result


def test_a_wrong_kernel_makes_facts_fail(monkeypatch):
    right = reference.conv2d_forward

    def shifted(x, *rest):
        right(np.roll(x, 1, axis=3), *rest)

    monkeypatch.setattr(reference, "conv2d_forward", shifted)
    worked = [fact for fact in lectures.FACTS if fact.topic == "Worked numbers"]
    found = [result.holds for result in lectures.replay(worked, "reference")]
    assert found.count(False) >= 3


def test_a_fact_without_a_comparison_or_with_an_error_does_not_hold():
    def nothing(check):
        pass

    def broken(check):
        check.equal("one", 1, 1)
        raise KeyError("gone")

    facts = [Fact("t", "s", nothing, False), Fact("t", "s", broken, False)]
    empty, failed = lectures.replay(facts)
    assert not empty.holds
    assert not failed.holds and "KeyError" in failed.error and len(failed.lines) == 1


def test_comparisons_can_fail():
    check = Check()
    check.equal("different", np.array([1, 2]), np.array([1, 3]))
    check.near("far", 1.0, 1.1, 0.05)
    check.near("nan", np.array([np.nan]), np.array([0.0]), 1.0)
    check.near("empty", np.empty(0), np.empty(0), 1.0)
    check.holds("not", 1, False, "2")
    check.refuses("taken", lambda: 1, "x")
    check.refuses("other words", lambda: int("y"), "no such text")
    assert not any(line.holds for line in check.lines) and len(check.lines) == 7
    check.near("near", 1.0, 1.1, 0.2)
    check.refuses("refused", lambda: int("y"), "invalid")
    assert all(line.holds for line in check.lines[7:])


def test_numbers_are_written_as_learners_do():
    assert [text(v) for v in (1_199_882, 32, 0.5, True, (28, 28, 6))] == [
        *("1,199,882", "32", "0.5", "yes", "28×28×6")
    ]


def run(*arguments):
    return CliRunner().invoke(app, ["lectures", *arguments])


def test_the_command_shows_numbers_and_counts():
    done = run("--topic", "worked")
    assert done.exit_code == 0
    assert done.stdout.rstrip().endswith("5 facts hold, 0 fail; 12 errata")
    assert "dK" in done.stdout and "[-4.," in done.stdout


def test_the_command_fails_with_a_fact(monkeypatch):
    def wrong(check):
        check.equal("two and two", 4, 5)

    monkeypatch.setattr(lectures, "FACTS", [Fact("Sums", "2 + 2 = 5", wrong, False)])
    done = run()
    assert done.exit_code == 1
    assert "two and two: 4  — expected 5" in done.stdout
    assert "0 facts hold, 1 fail; 12 errata" in done.stdout
    assert "printed  DropOut" in done.stdout


def test_an_unknown_topic_or_device_is_explained():
    done = run("--topic", "cooking")
    assert done.exit_code == 2 and "Convolution arithmetic" in done.stderr
    done = run("--device", "abacus")
    assert done.exit_code == 2 and "cpu or reference" in done.stderr

"""The package as a user gets it: a wheel in a fresh environment, and an editable install."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
INSTALL = ("-m", "pip", "install", "--no-deps", "--no-index")
TREE = ("numcnn", "kernels", "bench", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")


def run(*command, cwd):
    """Run a command; on failure show what it said."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=env, text=True, capture_output=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def tree(tmp_path):
    """Return a copy of what goes into a package, so that building leaves nothing behind."""
    copy = tmp_path / "source"
    copy.mkdir()
    for name in TREE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    return copy


@pytest.fixture
def fresh_python(tmp_path):
    """Return the Python of a new environment without numcnn.

    The dependencies are those of the running environment, all but numcnn, linked into a folder
    that a .pth file names; so nothing is downloaded.
    """
    folder = tmp_path / "venv"
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    site = Path(
        run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd="/").strip()
    )
    links = tmp_path / "dependencies"
    links.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if "numcnn" not in entry.name:
            (links / entry.name).symlink_to(entry)
    (site / "dependencies.pth").write_text(f"{links}\n")
    return python


def where(python, cwd):
    code = "import numcnn, numcnn.kernels, numcnn.bench; print(numcnn.kernels.__file__)"
    return Path(run(python, "-c", code, cwd=cwd).strip())


def test_a_wheel_installs_and_trains(tree, fresh_python, tmp_path):
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist", cwd=tree)
    (wheel,) = (tree / "dist").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for package in ("numcnn", "kernels", "bench"):
        inside = "numcnn" if package == "numcnn" else f"numcnn/{package}"
        for path in (tree / package).rglob("*.py"):
            assert f"{inside}/{path.relative_to(tree / package).as_posix()}" in names
    assert "numcnn/py.typed" in names
    assert sum(name.startswith("numcnn/data/bundled/") for name in names) == 5

    run(fresh_python, *INSTALL, wheel, cwd=tmp_path)
    assert fresh_python.parent.parent in where(fresh_python, tmp_path).parents
    numcnn = fresh_python.parent / "numcnn"
    command = (numcnn, "train", "--model", "mlp", "--limit", "640", "--epochs", "2")
    printed = run(*command, cwd=tmp_path)
    last = printed.strip().splitlines()[-1]
    assert last.startswith("test accuracy: ")
    assert float(last.removeprefix("test accuracy: ").rstrip("%")) > 50  # chance is 10%
    assert list((tmp_path / "runs").rglob("weights.safetensors"))

    # `python` puts the folder in which it starts first on its path; there, numcnn/ lies without
    # kernels/ inside it
    assert where(fresh_python, tree) == tree / "kernels" / "__init__.py"


def test_an_editable_install_maps_the_folders(tree, fresh_python, tmp_path):
    run(fresh_python, *INSTALL, "--no-build-isolation", "-e", ".", cwd=tree)
    assert where(fresh_python, tmp_path) == tree / "kernels" / "__init__.py"

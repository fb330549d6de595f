"""Coverage-guided fuzzing of every reader with atheris: ``tox -e fuzz``.

``python tests/fuzz_readers.py`` runs one process for each reader of ``checks_readers.py``, one
after the other; with names, those alone. NUMCNN_FUZZ_SECONDS is the time of each, 60 by default.
What broke a reader is kept in the folder NUMCNN_FUZZ_CRASHES, by default ``fuzz-crashes``.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

SECONDS = int(os.environ.get("NUMCNN_FUZZ_SECONDS", "60"))
CRASHES = Path(os.environ.get("NUMCNN_FUZZ_CRASHES", "fuzz-crashes"))
INSTRUMENTED = [
    *("numcnn.data", "numcnn.digit", "numcnn.history", "numcnn.checkpoint", "numcnn.callbacks"),
    *("numcnn.checkpoint_folder", "numcnn.runs", "PIL", "json", "tarfile", "gzip"),
]
LIMITS = ("-timeout=30", "-rss_limit_mb=2560", "-max_len=16384", "-print_final_stats=1")
WORK = "NUMCNN_FUZZ_WORK"  # tells the inner process where its sound files lie


def fuzz(name, folder):
    """Feed one reader until the time is over; doesn't return."""
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED):
        from checks_readers import READERS, outcome

    reader = READERS[name]
    corpus = Path(folder) / "corpus"
    corpus.mkdir()
    for number, data in enumerate(reader.sound):
        (corpus / str(number)).write_bytes(data)

    def one(data):
        outcome(reader, data, folder)

    found = f"-artifact_prefix={CRASHES.resolve() / name}-"
    atheris.Setup([name, str(corpus), f"-max_total_time={SECONDS}", found, *LIMITS], one)
    atheris.Fuzz()


def watch(name):
    """Run the fuzzer of one reader; return its exit status, after a line of figures."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, __file__, name],
            env=os.environ | {WORK: folder},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    figures = dict(re.findall(r"stat::(\w+):\s+(\d+)", done.stderr))
    edges = re.findall(r"cov: (\d+)", done.stderr)
    memory = figures.get("peak_rss_mb", "?")
    verdict = "nothing found" if done.returncode == 0 else "FAILED"
    print(
        f"{name:24} {int(figures.get('number_of_executed_units', 0)):>10,} files, "
        f"{(edges or ['?'])[-1]:>5} edges, {memory:>5} MB: {verdict}",
        flush=True,
    )
    if done.returncode:
        print(done.stdout[-4000:], done.stderr[-4000:], sep="\n")
    return done.returncode


def main():
    """Fuzz the readers named on the command line, or all."""
    from checks_readers import READERS

    names = sys.argv[1:] or list(READERS)
    if unknown := [name for name in names if name not in READERS]:
        sys.exit(f"no reader is called {unknown[0]}; there are {', '.join(READERS)}")
    CRASHES.mkdir(parents=True, exist_ok=True)
    failed = [name for name in names if watch(name)]
    if failed:
        sys.exit(f"broken: {', '.join(failed)}; the files lie in {CRASHES}")


if __name__ == "__main__":
    if WORK in os.environ:
        fuzz(sys.argv[1], os.environ[WORK])
    else:
        main()

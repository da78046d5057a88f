"""Share of small faults that the tests find. Each mutation of mutations.yaml is applied to a copy of the tree, and its tests are run.

    python benchmarks/mutations.py                      prints a Markdown table (several minutes on 2 cores)
    python benchmarks/mutations.py --only bsseval       only the mutations whose file or fault contains this text
    python benchmarks/mutations.py --tree ../madsep-0.1.0     the same faults in another version of the tree, with its own tests

A mutation changes one line: an operator, a bound, an order, a missing check. It is caught if a test fails or takes far longer than without
it. Only the quick tests of the listed modules are run. `--then-all` runs all quick tests on mutations that these miss. In another tree, the
text is searched in all files of the package. `earlier` gives the text if it was different there. Faults in code that the other tree does
not contain are not counted.

The exit status is 1 if a text is missing from this tree, or if the tests fail without a mutation. Missed mutations do not change it.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue

import yaml

ROOT = Path(__file__).resolve().parents[1]
NOT_COPIED = shutil.ignore_patterns(".git", ".venv", ".snakemake", "__pycache__", ".*_cache", ".hypothesis")
RESULTS = {"results", "submission"}  # excluded only at the root of the tree
SLACK_S, SLACK_FACTOR = 60.0, 5.0  # a test run is stopped after SLACK_S + SLACK_FACTOR times the duration without a mutation
PASSED, FAILED, COLLECTION_FAILED = 0, 1, 2  # pytest's exit codes


@dataclass(frozen=True)
class Mutation:
    """One fault: `old` becomes `new` in a file of the package. `tests` are the modules that should find it."""

    file: str
    old: str
    new: str
    breaks: str
    tests: tuple[str, ...]
    earlier: tuple[str, str] | None = None  # old and new text of an earlier version


@dataclass(frozen=True)
class Edit:
    """A mutation located in a tree, with the text of the mutated file."""

    mutation: Mutation
    path: Path  # relative to the tree
    text: str
    tests: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """Result for a mutation: the test that found it, another reason why it counts as found, or None."""

    mutation: Mutation
    found_by: str | None
    seconds: float


class Lost(Exception):
    """A mutation no longer fits the tree."""


def read_mutations(path: Path, only: str) -> list[Mutation]:
    """Read the list of mutations. `only` selects by file or fault."""
    mutations = []
    for entry in yaml.safe_load(path.read_text(encoding="utf-8")):
        earlier = entry.pop("earlier", None)
        pair = (earlier["old"], earlier["new"]) if earlier else None
        mutations.append(Mutation(**entry | {"tests": tuple(entry["tests"])}, earlier=pair))
    return [mutation for mutation in mutations if only in mutation.file or only in mutation.breaks]


def find(tree: Path, mutation: Mutation) -> Edit:
    """Return the edit of a tree. Raises Lost unless the text occurs exactly once and the tests exist."""
    candidates = [(tree / "madsep" / mutation.file, mutation.old, mutation.new)]
    if tree != ROOT:
        pairs = [(mutation.old, mutation.new), *([mutation.earlier] if mutation.earlier else [])]
        files = sorted((tree / "madsep").rglob("*.py"))
        candidates = [(path, old, new) for old, new in pairs for path in files if old in path.read_text(encoding="utf-8")]
    places = [(path, old, new) for path, old, new in candidates if path.is_file() and path.read_text(encoding="utf-8").count(old) == 1]
    if len(places) > 1:  # text in several files: choose the file of the same name
        places = [place for place in places if place[0].name == Path(mutation.file).name]
    if len(places) != 1:
        raise Lost(f"{mutation.file}: does not occur exactly once: {mutation.old!r}")
    (path, old, new), relative = places[0], places[0][0].relative_to(tree)
    text = path.read_text(encoding="utf-8").replace(old, new)
    try:
        compile(text, str(relative), "exec")
    except SyntaxError as error:
        raise Lost(f"{relative}: is not valid Python with this mutation: {new!r} ({error})") from None
    tests = tuple(f"tests/{name}.py" for name in mutation.tests if (tree / "tests" / f"{name}.py").is_file())
    if not tests or (tree == ROOT and len(tests) < len(mutation.tests)):
        raise Lost(f"{mutation.file}: some of its tests are missing: {', '.join(mutation.tests)}")
    return Edit(mutation, relative, text, tests)


def run_tests(copy: Path, tests: Sequence[str], limit_s: float | None) -> tuple[int | None, str, float]:
    """Run test modules of a copy until the first failure. Return pytest's exit code, its output and the seconds.

    The exit code is None if the run was stopped after `limit_s` seconds.
    """
    path = os.pathsep.join(filter(None, [str(copy), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    options = ["-x", "-r", "fE", "--tb=no", "-p", "no:cacheprovider", "-m", "not slow"]
    command = [sys.executable, "-m", "pytest", *options, *tests]
    began = time.monotonic()
    try:
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, timeout=limit_s)
    except subprocess.TimeoutExpired:
        return None, "", time.monotonic() - began
    return done.returncode, done.stdout, time.monotonic() - began


def judge(edit: Edit, copy: Path, tests: Sequence[str], limit_s: float) -> Outcome:
    """Apply one edit to a copy, run the tests, and restore the file."""
    path = copy / edit.path
    original = path.read_bytes()
    path.write_text(edit.text, encoding="utf-8")
    try:
        code, output, seconds = run_tests(copy, tests, limit_s)
    finally:
        path.write_bytes(original)
    if code is None:
        return Outcome(edit.mutation, "took too long", seconds)
    if code == PASSED:
        return Outcome(edit.mutation, None, seconds)
    if code not in (FAILED, COLLECTION_FAILED):
        raise RuntimeError(f"pytest ended with {code} for {edit.path}:\n{output}")
    named = re.search(r"^(?:FAILED|ERROR) (?:tests/)?(\S+)", output, re.MULTILINE)
    return Outcome(edit.mutation, named[1].replace(".py::", "::") if named else "collection", seconds)


def _not_copied(tree: str, folder: str, names: list[str]) -> set[str]:
    return NOT_COPIED(folder, names) | (RESULTS if folder == tree else set())


class Copies:
    """Copies of a tree, one per worker, with a link to the real data if they are present."""

    def __init__(self, tree: Path, folder: Path, n_copies: int) -> None:
        self._free: SimpleQueue[Path] = SimpleQueue()
        if (tree.parent / "shared").is_dir():
            (folder / "shared").symlink_to((tree.parent / "shared").resolve())
        for number in range(n_copies):
            self._free.put(Path(shutil.copytree(tree, folder / f"tree{number}", ignore=partial(_not_copied, str(tree)), symlinks=True)))

    def judge(self, edit: Edit, limit_s: float, then_all: bool) -> Outcome:
        """Run the tests on an edit in a copy that no other worker uses."""
        copy = self._free.get()
        try:
            outcome = judge(edit, copy, edit.tests, limit_s)
            if outcome.found_by is None and then_all:
                outcome = judge(edit, copy, ["tests"], 3600)
            print(row(outcome), file=sys.stderr, flush=True)
            return outcome
        finally:
            self._free.put(copy)

    def times(self, edits: Sequence[Edit]) -> dict[str, float]:
        """Return the seconds of each test module without a mutation. Raises Lost if one fails."""
        copy = self._free.get()
        seconds: dict[str, float] = {}
        for test in sorted({test for edit in edits for test in edit.tests}):
            code, output, seconds[test] = run_tests(copy, [test], None)
            if code != PASSED:
                raise Lost(f"{test}: does not pass without a mutation:\n{output}")
        self._free.put(copy)
        return seconds


def row(outcome: Outcome) -> str:
    """Return the table's row for one mutation."""
    found = f"`{outcome.found_by}`" if outcome.found_by else "**missed**"
    return f"| {outcome.mutation.file} | {outcome.mutation.breaks} | {found} | {outcome.seconds:.0f} |"


def table(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Yield the lines of the Markdown table and the share of mutations caught."""
    yield "| file | fault | found by | s |"
    yield "|---|---|---|---|"
    yield from map(row, outcomes)
    n_caught = sum(outcome.found_by is not None for outcome in outcomes)
    rooms = sorted({outcome.mutation.file.split("/")[0] for outcome in outcomes})
    yield ""
    yield f"{n_caught} of {len(outcomes)} mutations caught ({n_caught / len(outcomes):.0%}), in {', '.join(rooms)}."


def main() -> int:
    """Parse the command line, test the mutations and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tree", type=Path, default=ROOT, help="another version of the project")
    parser.add_argument("--only", default="", help="text in the file's name or the fault")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="mutations judged at a time")
    parser.add_argument("--then-all", action="store_true", help="run all quick tests on mutations that the listed modules miss")
    parser.add_argument("--check", action="store_true", help="only check that every mutation still fits the tree")
    options = parser.parse_args()
    tree, edits, lost = options.tree.resolve(), [], []
    for mutation in read_mutations(Path(__file__).with_suffix(".yaml"), options.only):
        try:
            edits.append(find(tree, mutation))
        except Lost as error:
            lost.append(str(error))
    for line in lost:
        print(line, file=sys.stderr)
    if options.check or (lost and tree == ROOT):
        return int(bool(lost))
    with tempfile.TemporaryDirectory(prefix="madsep-mutations-") as folder, ThreadPoolExecutor(options.jobs) as pool:
        copies = Copies(tree, Path(folder), options.jobs)
        try:
            seconds = copies.times(edits)
        except Lost as error:
            print(error, file=sys.stderr)
            return 1
        limits = [SLACK_S + SLACK_FACTOR * sum(seconds[test] for test in edit.tests) for edit in edits]
        outcomes = list(pool.map(copies.judge, edits, limits, [options.then_all] * len(edits)))
    print("\n".join(table(outcomes)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

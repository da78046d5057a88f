"""The architecture, read from the source: who imports whom, and how long things are."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "madsep"
# imports run one way: a room uses those of lower floors, and those of its own floor in an order without cycles
FLOORS = (
    ("core",),
    ("data", "systems"),
    ("front_end", "models", "bsseval", "synth"),
    ("separation",),
    ("training", "scoring"),
    ("comparison", "submission", "listening"),
    ("couplings", "workflow"),
    ("api", "doctor"),
    ("cli",),
    ("__main__",),
)
LAYER = {name: number for number, names in enumerate(FLOORS) for name in names}
STEM_READERS = {"musdb", "museval", "stempeg"}
MAY_READ_STEMS = {"data/stems.py", "scoring/engines.py", "data/sample.py"}
WITHOUT_TORCH = {
    *("doctor.py", "separation/oracles.py", "data/tracks.py", "data/mixtures.py", "comparison/boxplots.py", "comparison/pairwise.py"),
    *("comparison/published.py", "comparison/runs.py", "comparison/statistics.py", "comparison/page.py", "comparison/compare.py"),
    *("comparison/page_figures.py", "comparison/page_tables.py", "comparison/export.py", "comparison/boxes.py"),
    *("scoring/scores.py", "scoring/aggregate.py", "submission/check.py", "submission/score_check.py", "submission/write.py"),
    *("couplings/figures.py", "couplings/table.py"),
}
MAX_MODULE_LINES, MAX_FUNCTION_LINES, MAX_PARAMETERS = 250, 40, 6

Function = ast.FunctionDef | ast.AsyncFunctionDef
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def parse(module: str) -> ast.Module:
    return ast.parse((PACKAGE / module).read_text(encoding="utf-8"))


def imports(tree: ast.AST) -> Iterator[str]:
    """Dotted names that a tree imports, at its top and within its functions; `from a import b` gives a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def imports_in_functions(tree: ast.AST) -> set[str]:
    return {name for function in functions(tree) for name in imports(function)}


def part(module: str) -> str:
    """The part of the package that a file belongs to: `models` for models/mad.py."""
    return Path(module).parts[0].removesuffix(".py")


def test_every_part_of_the_package_has_its_layer() -> None:
    assert {part(module) for module in MODULES} - {"__init__"} == set(LAYER)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_its_own_layer_or_below(module: str) -> None:
    names = [name.split(".")[1] for name in imports(parse(module)) if name.startswith("madsep.")]
    if part(module) == "__init__":
        assert set(names) <= {"api"}  # for type checkers, and when a function is first used
        return
    above = {name for name in names if LAYER[name] > LAYER[part(module)]}
    assert above == set()


@pytest.mark.parametrize("room", sorted(LAYER))
def test_importing_a_room_loads_no_room_above_it(room: str) -> None:
    """What is really loaded, in a process of its own, by all modules of the room but those that import Triton."""
    modules = [module for module in MODULES if part(module) == room and not module.endswith(("_kernels.py", "gru_triton.py"))]
    names = [f"madsep.{module.removesuffix('.py').removesuffix('/__init__').replace('/', '.')}" for module in modules]
    code = f"import importlib, sys; [importlib.import_module(name) for name in {names}]; print(*sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    loaded = {name.split(".")[1] for name in printed if name.startswith("madsep.")}
    assert {name for name in loaded if LAYER[name] > LAYER[room]} == set()


def test_layers_have_no_cycles() -> None:
    """Within a layer too: parts can be put in an order in which each imports only from those before it."""
    needs: dict[str, set[str]] = {name: set() for name in LAYER}
    for module in MODULES:
        if part(module) in LAYER:
            names = {name.split(".")[1] for name in imports(parse(module)) if name.startswith("madsep.")}
            needs[part(module)] |= names - {part(module)}
    while needs:
        free = {name for name, needed in needs.items() if not needed & needs.keys()}
        assert free, f"these import each other: {sorted(needs)}"
        needs = {name: needed for name, needed in needs.items() if name not in free}


@pytest.mark.parametrize("module", MODULES)
def test_the_workflow_is_unknown_to_the_package(module: str) -> None:
    assert not any(name.split(".")[0] == "snakemake" for name in imports(parse(module)))


@pytest.mark.parametrize("module", MODULES)
def test_stems_are_read_in_few_places_and_their_readers_imported_within_functions(module: str) -> None:
    tree = parse(module)
    everywhere = [name for name in imports(tree) if name.split(".")[0] in STEM_READERS]
    assert not everywhere or module in MAY_READ_STEMS
    assert set(everywhere) <= imports_in_functions(tree)


@pytest.mark.parametrize("module", sorted(WITHOUT_TORCH))
def test_what_computes_no_network_does_not_import_torch(module: str) -> None:
    assert module in MODULES
    assert not any(name.split(".")[0] == "torch" for name in imports(parse(module)))


@pytest.mark.parametrize("module", MODULES)
def test_modules_are_short(module: str) -> None:
    assert len((PACKAGE / module).read_text(encoding="utf-8").splitlines()) <= MAX_MODULE_LINES


def is_kernel(function: Function) -> bool:
    """Whether a function is compiled by Triton: its parameters are the tensors that it reads and writes, and their sizes."""
    return any("triton.jit" in ast.unparse(decorator) for decorator in function.decorator_list)


def n_lines(function: Function) -> int:
    """Lines of a function without its docstring, of a kernel without its parameters too."""
    assert function.end_lineno is not None
    begin = function.body[0].lineno if is_kernel(function) else function.lineno
    total = function.end_lineno - begin + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        assert first.end_lineno is not None
        total -= first.end_lineno - first.lineno + 1
    return total


def n_parameters(function: Function) -> int:
    """Parameters of a function beside self and cls."""
    given = function.args
    names = [argument.arg for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg) if argument]
    return len([name for name in names if name not in ("self", "cls")])


@pytest.mark.parametrize("module", MODULES)
def test_functions_are_short_and_take_few_parameters(module: str) -> None:
    found = list(functions(parse(module)))
    assert {function.name: n_lines(function) for function in found if n_lines(function) > MAX_FUNCTION_LINES} == {}
    others = [function for function in found if not is_kernel(function)]
    many = {function.name: n_parameters(function) for function in others if n_parameters(function) > MAX_PARAMETERS}
    assert many == {} or part(module) == "cli"  # a command's parameters are its options


def test_the_measures_measure() -> None:
    """On a function whose length and parameters are known."""
    source = 'def f(self, a, /, b, *c, d=1, **e):\n    """One.\n\n    Two."""\n    import musdb.x\n    return 1\n'
    tree = ast.parse(source)
    (function,) = functions(tree)
    assert (n_lines(function), n_parameters(function)) == (3, 5)
    assert imports_in_functions(tree) == {"musdb.x"} == set(imports(tree))
    assert list(imports(ast.parse("from madsep.core import files\nimport madsep.core.logs"))) == ["madsep.core.files", "madsep.core.logs"]

"""The house: rooms with one face each, imports that point one way, and nothing loaded that is not needed.

Everything is derived from the tree, so that a new room or file is held to the same rules.
"""

import ast
import sys
from graphlib import TopologicalSorter
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from programs import printed

import toylib

TOP = Path(__file__).parents[1]
HOUSE = TOP / "toylib"
FILES = sorted(HOUSE.rglob("*.py"))
ROOMS = sorted(
    p.stem if p.is_file() else p.name for p in HOUSE.iterdir() if p.name[0] not in "_." and p.suffix in ("", ".py")
)
FOLDERS = [room for room in ROOMS if (HOUSE / room).is_dir()]
WIDGETS = {"anywidget", "ipykernel", "ipywidgets", "traitlets"}
HEAVY = {*WIDGETS, "IPython", "dask", "distributed", "plotly", "xarray", "zarr"}


def room_of(path):
    """The room that a file belongs to; None for what serves all rooms."""
    name = path.relative_to(HOUSE).parts[0].removesuffix(".py")
    return name if name in ROOMS else None


def imports(path, *, at_run_time=False):
    """The dotted names that a file imports, at any depth; at run time, without those that type checkers alone see."""
    tree, found = ast.parse(path.read_text(encoding="utf-8")), set()
    hints = [node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    skipped = {id(inner) for node in hints for inner in ast.walk(node)} if at_run_time else set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and id(node) not in skipped:
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and id(node) not in skipped:
            assert node.level == 0, f"{path} imports by a relative name"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def of_toylib(path):
    """The parts of the library that a file imports, as tuples of names without "toylib"."""
    return {tuple(name.split(".")[1:]) for name in imports(path) if name.split(".")[0] == "toylib"}


def test_the_front_door_lists_every_room():
    assert toylib.__all__ == ROOMS
    assert dir(toylib) == ROOMS
    assert all(f"`{room}`" in toylib.__doc__ for room in ROOMS)
    assert callable(toylib.attacks.pgd)
    with pytest.raises(AttributeError, match="no_such_room"):
        _ = toylib.no_such_room


@pytest.mark.parametrize("room", FOLDERS)
def test_a_face_is_a_docstring_and_public_names(room):
    face = HOUSE / room / "__init__.py"
    module, tree = import_module(f"toylib.{room}"), ast.parse(face.read_text(encoding="utf-8"))
    assert len(ast.get_docstring(tree)) > 100
    assert module.__all__ == sorted(module.__all__, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    assert all(name[0] != "_" and hasattr(module, name) for name in module.__all__)
    stub = face.with_suffix(".pyi")
    body = ast.parse(stub.read_text(encoding="utf-8")).body if stub.exists() else tree.body[1:]
    *froms, names = body
    assert all(isinstance(node, ast.ImportFrom) for node in froms)
    assert isinstance(names, ast.Assign)
    assert sorted(alias.name for node in froms for alias in node.names) == sorted(module.__all__)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_nobody_imports_the_private_files_of_another_room(path):
    room = room_of(path)
    foreign = {name for name in of_toylib(path) if name and name[0] != room and name[0] in ROOMS}
    assert [".".join(name) for name in foreign if any(part.startswith("_") for part in name)] == []
    shared = {name[0] for name in of_toylib(path) if name and name[0].startswith("_")}
    assert shared <= {file.stem for file in HOUSE.glob("_*.py")}


def test_imports_point_one_way():
    graph = {room: set() for room in ROOMS}
    for path in FILES:
        if room := room_of(path):
            graph[room] |= {name[0] for name in of_toylib(path) if name and name[0] in ROOMS} - {room}
        elif path.parent == HOUSE and path.name != "__init__.py":
            assert not {name[0] for name in of_toylib(path) if name} & set(ROOMS), f"{path.name} serves all rooms"
    order = list(TopologicalSorter(graph).static_order())  # CycleError, with the cycle, if there is one
    assert set(order) == set(ROOMS)
    assert order[-1] == "explorers"
    for room in ROOMS:
        assert room in ("figures", "explorers") or not graph[room] & {"figures", "explorers"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_plotting_widgets_and_labels_stay_where_they_belong(path):
    provided, room = packages_distributions(), room_of(path)
    tops = {name.split(".")[0] for name in imports(path, at_run_time=True)}
    loaded = {canonicalize_name(provided.get(top, [top])[0]) for top in tops}
    assert loaded & WIDGETS == set() or room == "explorers"
    assert loaded & {"plotly"} == set() or room in ("figures", "explorers") or path.stem == "_export"  # if it is there
    assert loaded & {"xarray"} == set() or room in ("sweeps", "training")  # Run.to_xarray loads it when called
    assert loaded & {"zarr"} == set() or room == "sweeps"
    assert loaded & {"dask", "distributed"} == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_a_file_is_neither_large_nor_a_scrap(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 320
    assert lines >= 30 or path.name in ("__init__.py", "_progress.py")


@pytest.mark.parametrize("room", FOLDERS)
def test_a_room_is_no_corridor(room):
    files = [path.name for path in (HOUSE / room).glob("*.py") if path.name != "__init__.py"]
    assert 2 <= len(files) <= 8, "put it into the file of its subject, or look for a room that has become two"


def test_tests_mirror_the_rooms():
    folders = {path.name for path in (TOP / "tests").iterdir() if list(path.glob("test_*.py"))}
    assert folders == {*FOLDERS, "results"}  # and the stored results, a file per notebook
    assert {room for room in ROOMS if (TOP / "tests" / f"test_{room}.py").exists()} == set(ROOMS) - set(FOLDERS)


def loads(code, folder):
    return printed([sys.executable, "-c", code], cwd=folder).split()


def test_rooms_load_what_they_need_and_no_more(tmp_path):
    light = [room for room in ROOMS if room not in ("explorers", "sweeps")]
    code = "import sys, toylib; print(toylib.__file__, len([m for m in sys.modules if m.split('.')[0] == 'jax']))\n"
    code += f"for room in {light}:\n  getattr(toylib, room)\n  print(room, *({HEAVY} & sys.modules.keys()), sep=',')"
    where, of_jax, *found = loads(code, tmp_path)
    assert Path(where).parent == HOUSE
    assert of_jax == "0"
    assert found == light


def test_a_worker_loads_only_what_its_function_needs(tmp_path):
    loaded = loads("import sys, toylib.sweeps._batches; print(*sys.modules)", tmp_path)
    assert set(loaded) & {*HEAVY, "jax", "tqdm", "scipy"} == set()
    assert "toylib.sweeps._batches" in loaded

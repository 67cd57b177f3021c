"""The layers import downwards only, and each outside format has one room."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "relion_attn_picker"
FOUNDATION = {
    "__init__",
    "errors",
    "gate_maps",
    "micrograph",
    "picks",
    "point_set",
    "model_spec",
    "options",
    "training_options",
    "replacing",
    "json_values",
}
ALLOWED = {
    **dict.fromkeys(FOUNDATION, FOUNDATION),
    "relion": FOUNDATION | {"relion"},
    "io": FOUNDATION | {"io"},
    "imaging": FOUNDATION | {"imaging"},
    "models": FOUNDATION | {"models"},
    "evaluation": FOUNDATION | {"evaluation"},
    "inference": FOUNDATION | {"imaging", "models", "io", "evaluation", "inference"},
    "simulation": FOUNDATION | {"io", "relion", "simulation"},
    "training": FOUNDATION | {"imaging", "models", "inference", "evaluation", "io", "training"},
    "report": FOUNDATION | {"relion", "io", "evaluation", "inference", "report"},
    "pipeline": FOUNDATION | {"io", "imaging", "evaluation", "inference"},
    "jobs": FOUNDATION
    | {"relion", "io", "imaging", "models", "evaluation", "inference", "report", "training", "simulation", "pipeline"}
    | {"jobs"},
    "ccpem_jobs": FOUNDATION | {"relion"},
}

ONLY_IN = {
    "pipeliner": {"ccpem_jobs.py"},
    "starfile": {"relion/star.py"},
    "mrcfile": {"io/mrc.py", "io/volume.py"},
    "gemmi": {"io/structure.py"},
    "h5py": {"io/hdf5.py", "io/attention_file.py"},
    "safetensors": {"io/checkpoint.py"},
    "click": {"cli/"},
    "matplotlib": {"report/"},
    "cryosparc": {"jobs/cryosparc/job.py"},
}


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def rooms_imported(path: Path) -> set[str]:
    ours = {name.split(".")[1] for name in imports(path) if name.startswith("relion_attn_picker.")}
    return ours - {"__version__"}


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_downwards(path: Path) -> None:
    if room(path) not in ("cli", "__main__"):
        assert rooms_imported(path) <= ALLOWED[room(path)]


@pytest.mark.parametrize("layer", sorted(ALLOWED.keys() - FOUNDATION))
def test_layers_are_allowed_no_other_layer_than_they_use(layer: str) -> None:
    used = set().union(*(rooms_imported(path) for path in sources() if room(path) == layer))
    assert ALLOWED[layer] - FOUNDATION - {layer} == used - FOUNDATION - {layer}


def test_rooms_of_jobs_import_each_other_in_one_direction_only() -> None:
    rooms = {folder.name for folder in (PACKAGE / "jobs").iterdir() if (folder / "__init__.py").exists()}
    assert len(rooms) > 5
    used: dict[str, set[str]] = {name: set() for name in rooms}
    for path in (PACKAGE / "jobs").glob("*/*.py"):
        names = {name.split(".")[2] for name in imports(path) if name.startswith("relion_attn_picker.jobs.")}
        used[path.parent.name] |= names & rooms - {path.parent.name}
    TopologicalSorter(used).prepare()
    for path in (PACKAGE / "jobs").glob("*.py"):  # what the rooms share knows none of them
        names = {name.split(".")[2] for name in imports(path) if name.startswith("relion_attn_picker.jobs.")}
        assert not names & rooms, path


@pytest.mark.parametrize(("module", "rooms"), ONLY_IN.items())
def test_outside_formats_have_one_room(module: str, rooms: set[str]) -> None:
    users = {
        str(path.relative_to(PACKAGE))
        for path in sources()
        if any(name.split(".")[0] == module for name in imports(path))
    }
    assert users
    assert not [user for user in users if not any(user.startswith(allowed) for allowed in rooms)]


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_relion_words_stay_in_their_room(path: Path) -> None:
    if room(path) != "relion":
        assert not [text for text in constants(path) if "rln" in text or "RELION_" in text]


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_cryosparc_columns_stay_in_their_rooms(path: Path) -> None:
    if not str(path.relative_to(PACKAGE)).startswith("io/cryosparc"):
        slots = ("location/", "pick_stats/", "micrograph_blob/", "mscope_params/", "ctf/")
        assert not [text for text in constants(path) if text.startswith(slots)]


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_text_files_have_an_encoding(path: Path) -> None:
    """Otherwise it is that of the machine: a file with an Å could not be read on another one."""
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    assert not [call.lineno for call in calls if opens_text(call) and "encoding" not in {k.arg for k in call.keywords}]


def opens_text(call: ast.Call) -> bool:
    """Tell whether a call is one of ``open``, in text mode, or of ``read_text`` or ``write_text`` of a path."""
    if isinstance(call.func, ast.Attribute):
        of_a_path = not isinstance(call.func.value, ast.Name) or call.func.value.id not in OTHER_OPENERS
        name, mode = call.func.attr, call.args[:1]
    else:
        of_a_path, name, mode = True, getattr(call.func, "id", ""), call.args[1:2]
    if name in ("read_text", "write_text"):
        return isinstance(call.func, ast.Attribute)
    is_binary = any(isinstance(word, ast.Constant) and "b" in str(word.value) for word in mode)
    return name == "open" and of_a_path and not is_binary


OTHER_OPENERS = {"JobDirectory", "gzip", "mrcfile", "os"}


def constants(path: Path) -> set[str]:
    """Return the texts in a module's code, its documentation left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documentation = {ast.get_docstring(node, clean=False) for node in ast.walk(tree) if isinstance(node, DOCUMENTED)}
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return {text for text in texts if text not in documentation}


DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from relion_attn_picker.cli import group\n"
        "try: group.main(['--help'], prog_name='attnpick')\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'pandas', 'h5py', 'numpy', 'scipy', 'matplotlib', 'starfile'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "pick " in result.stdout
    assert "Pick particles as a RELION External job." in result.stdout


def test_package_folders_import_nothing() -> None:
    for init in PACKAGE.glob("*/__init__.py"):
        if init.parent.name != "cli":
            assert imports(init) == set(), init

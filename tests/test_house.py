"""The house keeps its shape: imports run downwards, torch stays upstairs, the code is lint-clean."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "shards": {"shards"},
    "distort": {"distort", "shards"},
    "train": {"train", "distort", "shards"},
    "report": {"report", "distort", "shards"},
}


def imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_rooms_import_only_what_is_below_them(room):
    for path in (ROOT / room).rglob("*.py"):
        assert imports(path) & MAY_IMPORT.keys() <= MAY_IMPORT[room], path


@pytest.mark.parametrize("room", ["shards", "distort", "report"])
def test_torch_is_not_needed_outside_train(room):
    for path in (ROOT / room).rglob("*.py"):
        assert not imports(path) & {"torch", "torchvision", "timm"}, path
    code = f"import sys, {room}.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]])
def test_ruff_is_clean(command):
    ruff = subprocess.run([sys.executable, "-m", "ruff", *command, str(ROOT)], capture_output=True, text=True)
    assert ruff.returncode == 0, ruff.stdout + ruff.stderr


def test_types_are_complete_and_right():
    pytest.importorskip("mypy", reason="needs mypy")
    mypy = subprocess.run([sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True)
    assert mypy.returncode == 0, mypy.stdout + mypy.stderr


def test_datasets_named_as_packages_do_not_hide_them(tmp_path):
    for name in ("train", "report"):
        (tmp_path / name / "clean").mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-c", "import report, train; assert report.__file__ and train.__file__"], cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_train_without_pytorch_says_how_to_get_it():
    code = "import sys; sys.modules['torch'] = None; from train.__main__ import main; main()"
    teach = ["teach", "data", "--arch", "resnet50", "--weights", "imagenet"]
    done = subprocess.run([sys.executable, "-c", code, *teach], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "train needs PyTorch: pip install 'codecproof[train]'\n"


WITHOUT = "import sys; sys.modules.update(dict.fromkeys(['jinja2', 'markupsafe', 'matplotlib', 'scipy'])); "


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (
            "report build x --out out",
            1,
            "report needs (matplotlib|jinja2): pip install 'codecproof[report]'",
        ),
        ("report --help", 0, ""),
        ("report build --help", 0, ""),
        ("distort list", 0, ""),
        ("distort run x out --distortions blur-1", 2, "blur cannot be loaded here: it needs scipy: pip install"),
    ],
)
def test_without_the_libraries_of_reports_the_rest_works(arguments, status, said):
    room, *rest = arguments.split()
    code = f"{WITHOUT}from {room}.__main__ import main; sys.argv[1:] = {rest!r}; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    assert re.search(said.replace("[", r"\["), done.stderr), done.stderr


@pytest.mark.parametrize(
    ("arguments", "status"),
    [("--help", 0), ("--version", 0), ("expert --help", 0), ("expert", 2), ("evaluate data --out x", 2),
     ("expret", 2), ("finetune data --columm x", 2), ("--nonsense", 2)],
)  # fmt: skip
def test_help_and_usage_errors_of_train_need_no_pytorch(arguments, status):
    code = "import sys; sys.modules['torch'] = None; from train.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code, *arguments.split()], capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    assert "PyTorch" not in done.stderr

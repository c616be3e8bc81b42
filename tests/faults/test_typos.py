"""Every option of every command answers a typo, a wrong value and an empty one in a line that names it."""

import importlib
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

#: What somebody might type; all others are made from the option's type.
WRONG = {
    "--address": ["nowhere"],
    "--anchor": ["Wepp"],
    "--arch": ["resnet5O"],
    "--checkpoint": ["nosuch.safetensors"],
    "--classes": ["imagenette", "nosuch.txt"],
    "--column": ["jpg-10", "jpeg-11"],
    "--columns": ["clean,jpg-10", "jpeg-10,", "jpeg-10,jpeg-10"],
    "--crop": ["centre:224", "center:0", "random:x"],
    "--distortions": ["jpg-10", "jpeg-101", "jpeg10", "jpeg-10,", "jpeg-10:445", "webp"],
    "--engine": ["locall"],
    "--key": ["nosuch"],
    "--labels": ["nosuch.csv"],
    "--layers": ["layer99"],
    "--metrics": ["psnr-x", "psnr-y,", ","],
    "--master": ["nosuch.safetensors"],
    "--part": ["3/2", "0/2", "1of2"],
    "--published": ["mari2022"],
    "--quirks": ["nosuch"],
    "--results": ["nosuch"],
    "--sbatch": ["account=x"],
    "--split": ["vall"],
    "--taps": ["layer99"],
    "--test-columns": ["clean,jpg-10"],
    "--time": ["8 hours"],
    "--val": ["nosuch"],
    "--weights": ["nosuch.pt", "imagnet"],
}
ANY_TEXT = {"--title"}  #: every text is right


def commands() -> Iterator[tuple[str, str]]:
    for room in ("shards", "distort", "report", "train"):
        main = importlib.import_module(f"{room}.cli").main
        for name in main.list_commands(click.Context(main)):
            yield room, name


@pytest.fixture
def correct(tree, dataset, train_set, val_set, weights, tmp_path, monkeypatch):
    """Arguments of each command that are right; a wrong option may follow them."""
    monkeypatch.chdir(tmp_path)
    picture, distortions = next(tree.rglob("*.jpg")), ["--distortions", "jpeg-10"]
    network = ["--weights", weights, "--arch", "shufflenet_v2_x0_5", "--workers", 0, "--device", "cpu"]
    fixed = {
        "shards show": [dataset, "chelsea_0"],
        "shards export": [dataset, "out", "--columns", "clean"],
        "distort run": [tree, "out", *distortions],
        "distort add": [dataset, *distortions],
        "distort measure": [dataset, "--metrics", "psnr-y"],
        "distort preview": [picture, "out.png", *distortions],
        "report build": [dataset, "--out", "out"],
        "report choose": [dataset, "--bytes", 400],
        "train evaluate": [val_set, "--out", "out.json", *network],
        "train teach": [train_set, *network],
        "train export": [weights, "--out", "out.onnx"],
        "distort slurm": [],
        "distort list": [],
    }
    values = {
        "--column": "jpeg-10",
        "--columns": "jpeg-10,j2k-75",
        "--val": val_set,
        "--out": "out",
        "--bins": "clean/jpeg-10/j2k-75",
    }

    def correct(room: str, name: str, options: set[str]) -> list:
        if room != "train" or f"train {name}" in fixed:
            return fixed.get(f"{room} {name}", [dataset])
        given = [part for option, value in values.items() if option in options for part in (option, value)]
        return [train_set, *given, *network, "--epochs", 2, "--batch", 16, "--holdout", 0.1]

    return correct


def cases(command: click.Command) -> Iterator[tuple[str, ...]]:
    """What goes wrong: extra arguments of the command line, the option first."""
    yield ("--nonsense",)
    for option in command.params:
        if isinstance(option, click.Argument):
            continue
        name, kind = max(option.opts, key=len), option.type
        yield (f"{name[:-1]}x", "1")
        if option.is_flag:
            yield (f"{name}=maybe",)
            continue
        if not option.flag_value:
            yield (name,)
        if name in ANY_TEXT:
            continue
        yield name, ""
        yield from ((name, value) for value in WRONG.get(name, ()))
        if isinstance(kind, click.Choice):
            yield name, f"{kind.choices[0]}x"
        if isinstance(kind, click.types._NumberRangeBase | type(click.INT) | type(click.FLOAT)):
            yield name, "many"
            yield from ((name, str(end)) for end in beyond(kind))
            if isinstance(kind, click.types.FloatParamType):
                yield name, "nan"
                if not getattr(kind, "infinite", False):
                    yield name, "inf"


def beyond(kind: click.ParamType) -> Iterator[float]:
    low, high = getattr(kind, "min", None), getattr(kind, "max", None)
    if low is not None:
        yield low if kind.min_open else low - 1
    if high is not None:
        yield high if kind.max_open else high + 1


def answer(room: str, name: str, arguments: list) -> tuple[bool, str]:
    """Whether the command ended as it should, and its last line."""
    main = importlib.import_module(f"{room}.cli").main
    result = CliRunner().invoke(main, [name, *map(str, arguments)], prog_name=room)
    expected = result.exception is None or isinstance(result.exception, SystemExit)
    return expected and result.exit_code in (1, 2), result.output.rpartition("Error: ")[2].strip()


@pytest.mark.slow
@pytest.mark.parametrize(("room", "name"), list(commands()))
def test_a_typo_in_any_option_is_named(room, name, correct, digests, dataset, tmp_path):
    main = importlib.import_module(f"{room}.cli").main
    command = main.get_command(click.Context(main), name)
    options = {option for parameter in command.params for option in parameter.opts}
    before, unclear = digests(tmp_path), []
    for case in cases(command):
        right = correct(room, name, options)
        after = ["run", "tree", "out", "--distortions", "jpeg-10"] if name == "slurm" else []
        ended, said = answer(room, name, [*right, *case, *after])
        parts = [part for value in case[1:] for part in value.split(",") if len(part) > 1]
        named = any(part in said for part in (case[0].partition("=")[0].strip("-"), *parts))
        if not (ended and named and len(said.splitlines()) <= 2):
            unclear.append(f"{' '.join(case)}: {said}")
        assert digests(tmp_path) == before, case
    assert not unclear, "\n".join(unclear)

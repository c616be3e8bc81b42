"""The command line of methods: where an option comes from, and what is said about one that is not there."""

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Literal

import click
import pytest

from train.cli import MethodCommand
from train.methods import METHODS
from train.options import check, click_options, option

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Options:
    column: str = option(help="A column.")
    beta: float = option(0.5, help="A weight.", minimum=0)
    share: float | None = option(None, help="A part.", above=0, below=1)
    mode: Literal["fast", "exact"] = option("fast", help="How.")
    twice: bool = option(False, help="Do it twice.")
    tidy: bool = option(True, help="Clean up.")
    hidden: int = 3


def test_options_are_fields_with_their_types_defaults_and_bounds():
    found = {item.name: item for item in click_options(Options)}
    assert list(found) == ["column", "beta", "share", "mode", "twice", "tidy"]
    command = click.Command("x", params=list(found.values()), callback=lambda **values: values)
    run = lambda *arguments: command.main(list(arguments), standalone_mode=False)  # noqa: E731
    assert run("--column", "a") == {
        "column": "a", "beta": 0.5, "share": None, "mode": "fast", "twice": False, "tidy": True,
    }  # fmt: skip
    assert run("--column", "a", "--share", "0.2", "--twice", "--no-tidy")["tidy"] is False
    for wrong in (["--share", "1"], ["--beta", "-1"], ["--mode", "slow"], []):
        with pytest.raises(click.UsageError):
            run(*(["--column", "a"] if wrong else []), *wrong)


def test_values_from_python_are_checked_as_those_from_the_command_line():
    check(Options("a"))
    with pytest.raises(ValueError, match=r"share: 2.0 is not in the range 0<x<1"):
        check(Options("a", share=2.0))
    with pytest.raises(ValueError, match="mode: 'slow' is not one of 'fast', 'exact'"):
        check(Options("a", mode="slow"))


ANSWER = """
import json, sys
sys.modules["torch"] = None
from click.testing import CliRunner
from train.cli import main
found = [CliRunner().invoke(main, arguments, prog_name="train") for arguments in json.loads(sys.argv[1])]
print(json.dumps([(answer.exit_code, answer.stdout, answer.stderr) for answer in found]))
"""


def answers(*commands: list[str]) -> list[list]:
    """Exit status, stdout and stderr of each command in a process that cannot import PyTorch."""
    done = subprocess.run([sys.executable, "-c", ANSWER, json.dumps(commands)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_usage_errors_need_no_pytorch_and_name_the_way_out():
    wrong = {
        "exper train": "no command 'exper': did you mean 'expert'? there are finetune, expert, stability",
        "finetune train --alpha 1": "finetune has no option --alpha; expert, stability",
        "expert train --sigma 1": "expert has no option --sigma; stability has it",
        "expert train --colunm jpeg-10": "Did you mean '--column'?",
        "expert train --model resnet18": "No such option '--model'. Did you mean '--arch'?",
        "export best.pt --model resnet18": "No such option '--model'. Did you mean '--arch'?",
        "expert train --bs 8": "No such option '--bs'. Did you mean '--batch'?",
        "expert train --seeds 8": "No such option '--seeds'. Did you mean '--seed'?",
        "export best.pt --nothing": "No such option '--nothing'.",
        "expert train --optimiser adan": "'adan' is not one of 'adam', 'adamw', 'sgd'",
        "stability train": "Missing option '--val'",
    }
    said = answers(*(command.split() for command in wrong))
    for message, (status, _, error) in zip(wrong.values(), said, strict=True):
        assert status == 2
        assert message in " ".join(error.split())


def test_the_help_of_every_method_has_its_own_options_and_an_example():
    (_, overview, _), *helps = answers(["--help"], *([name, "--help"] for name in METHODS.own))
    for name, (_, output, _) in zip(METHODS.own, helps, strict=True):
        assert f"\n  {name} " in overview
        assert "".join(METHODS.load(name).__doc__.partition("\n")[0].split()) in "".join(overview.split())
        assert f"Example: train {name} data/train" in output
        for item in click_options(METHODS.load(name).Options):
            assert item.opts[0] in output


def test_the_program_ends_without_pytorchs_destructors():
    code = "import atexit, sys; atexit.register(print, 'torn down'); from train.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "--version"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "torn down" not in done.stdout


def test_a_method_cannot_take_the_name_of_an_option_of_every_training():
    class Greedy(METHODS.load("finetune")):
        @dataclass(frozen=True)
        class Options:
            column: str = option(help="The distortion to train for.")
            lr: float = option(1.0, help="Its own rate.")

    with pytest.raises(ValueError, match="method 'greedy': all methods share an option 'lr'; rename"):
        MethodCommand("greedy", Greedy)

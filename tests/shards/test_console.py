"""What the commands print: progress that fits a narrow terminal and stays out of logs."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest
from click.testing import CliRunner

from report.cli import main
from shards.console import names, plural

SHOW = """
from shards import console
console.LIVE_EVERY = console.LOG_EVERY = 0
with console.Bar("verify", 12_000_000, "shards") as bar:
    for done in range(0, 12_000_001, 3_000_000):
        bar.update(done, "shards 1/3, bad 0, and a note that is longer than any terminal " * 3)
    bar.say("a message")
"""


def in_terminal(columns: int, *command: str) -> str:
    """What a command writes to a terminal of this width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    written = b""
    while True:
        try:
            written += os.read(ours, 65536)
        except OSError:  # the last writer has closed it
            break
    os.close(ours)
    assert process.wait(timeout=60) == 0, written
    return written.decode()


@pytest.mark.parametrize("columns", [30, 80, 0])
def test_a_live_line_never_wraps(columns):
    written = in_terminal(columns, sys.executable, "-c", SHOW)
    lines = re.split("[\r\n]", written)
    assert any("verify:  50%" in line for line in lines)
    assert max(map(len, lines)) < (columns or 80)
    assert "a message" in lines


def test_a_command_in_a_narrow_terminal_stays_within_it(dataset):
    written = in_terminal(60, sys.executable, "-m", "shards", "verify", str(dataset))
    *live, summary = [line for line in re.split("[\r\n]", written) if line.strip()]
    assert summary.endswith("are correct")
    assert all(len(line) < 60 for line in live if "columns of" not in line)


def test_nothing_live_reaches_a_pipe(dataset, run):
    assert run("shards", "verify", dataset).stderr == ""
    logged = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True).stderr
    assert "\r" not in logged
    assert re.search(r"^verify: 6000000/12000000 shards, .* shards/s, ETA \d\d:\d\d, shards 1/3", logged, re.M)


@pytest.mark.parametrize("room", ["shards", "distort", "report"])
def test_every_room_runs_as_a_module(room):
    done = subprocess.run([sys.executable, "-m", room, "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: {room} ")


def test_commands_do_not_wait_for_pandas():
    pytest.importorskip("pandas", reason="needs pandas")
    code = (
        "import sys, pyarrow as pa\n"
        "from shards.console import leave_pandas_out\n"
        "leave_pandas_out()\n"
        "table = pa.table({'a': [1]})\n"
        "print('pandas' in sys.modules, table.to_pandas().shape)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False (1, 1)\n", done.stderr


@pytest.mark.parametrize(("body", "status"), [("pass", 0), ("raise ValueError('no such shard')", 1)])
def test_a_command_ends_its_process_with_its_status_and_without_destructors(body, status):
    code = (
        "import atexit, click\n"
        "from shards.console import Group, run\n"
        "@click.group(cls=Group)\n"
        "def main(): pass\n"
        "@main.command()\n"
        f"def work(): click.echo('worked'); {body}\n"
        "atexit.register(print, 'torn down')\n"
        "run(main, 'program')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, "work"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (status, "worked\n")
    assert ("no such shard" in done.stderr) == bool(status)


def test_an_empty_list_is_called_empty_and_not_one_with_a_comma_too_many():
    with pytest.raises(ValueError, match="the list is empty"):
        names("")
    with pytest.raises(ValueError, match="remove the extra comma"):
        names("a,")


def test_one_is_not_a_plural():
    assert [plural(1, "shard"), plural(1000, "shard"), plural(0, "class", "classes")] == [
        "1 shard",
        "1,000 shards",
        "0 classes",
    ]


def test_an_option_that_is_given_twice_is_noted_and_the_last_one_counts(dataset):
    answer = CliRunner().invoke(main, ["choose", str(dataset), "--bytes", "400", "--bytes", "500", "--pps", "1"])
    assert "note: --bytes is given twice; 500.0 counts" in answer.output
    answer = CliRunner().invoke(main, ["choose", str(dataset), "--results", "a", "--results", "b", "--bytes", "1"])
    assert "twice" not in answer.output

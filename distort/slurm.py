"""A Slurm array for ``distort run`` and ``distort add``: the script, and its submission."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shards.console import plural
from shards.dataset import Dataset
from shards.errors import DatasetError

MOST = 999  #: tasks of an array; many clusters allow about 1,000

SCRIPT = """\
#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --array={array}
#SBATCH --cpus-per-task={cpus}
#SBATCH --time={time}
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output={name}-%A_%a.log
#SBATCH --chdir={folder}
#SBATCH --signal=B:USR1@{notice}
{extra}
# Task k of {tasks} makes shards k, k + {tasks}, … Finished shards are skipped, so a task may run again at any
# time: after its time limit, after a failure of its node, or because this script is submitted again.
export PATH={path}:"$PATH"
late= cancelled=
trap 'late=1; kill -TERM $work' USR1       # the time limit is near: stop cleanly and queue again
trap 'cancelled=1; kill -TERM $work' TERM  # scancel, or preemption (Slurm then requeues the task itself)

{command} \\
    --workers "$SLURM_CPUS_PER_TASK" --part "$SLURM_ARRAY_TASK_ID/{tasks}" &
work=$!
while wait $work; status=$?; kill -0 $work 2>/dev/null; do :; done

again() {{
    if [ "${{SLURM_RESTART_COUNT:-0}}" -lt "$1" ]; then
        trap 'exit 0' TERM  # sent by Slurm when it requeues the task
        scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID" && sleep 60
    fi
}}
if [ -n "$late" ]; then again 1000
elif [ -z "$cancelled" ] && [ "$status" -gt 128 ]; then again 3  # killed, perhaps out of memory
fi
exit "$status"
"""
NOTICE = 120  #: seconds before the time limit at which a task stops


def check(command: Sequence[str], extra: Sequence[str], submit: bool) -> None:
    """Raise DatasetError for what cannot be in the script, and when there is no Slurm to ``submit`` to."""
    for option in ("--workers", "--part", "--engine", "--address"):
        if any(word.partition("=")[0] == option for word in command):
            raise DatasetError(f"distort slurm sets {option} itself; leave it out")
    if "--dry-run" in command:
        raise DatasetError("tasks with --dry-run would make nothing; leave it out, or leave out slurm")
    for text in (str(Path.cwd()), *extra):
        if not text.isprintable():
            raise DatasetError(f"{text!r} cannot be used in a Slurm script: it has control characters")
    if submit and not shutil.which("sbatch"):
        raise DatasetError("no sbatch on this machine; run this on a login node, or without --submit")


@dataclass(frozen=True)
class Array:
    """An array job that makes the ``missing`` shards of a dataset."""

    dataset: Dataset
    missing: list[int]
    cpus: int
    time: str
    tasks: int | None
    extra: tuple[str, ...]
    command: list[str]  #: ``run`` or ``add`` with its arguments

    def script(self) -> str:
        """The script for ``sbatch``. Raises DatasetError when nothing is missing."""
        if not self.missing:
            raise DatasetError(f"{self.dataset.storage.url}: all shards are finished; nothing to submit")
        tasks = min(self.tasks or -(-self.dataset.plan.shards // self.cpus), self.dataset.plan.shards, MOST)
        program = Path(sys.argv[0]).resolve()
        return SCRIPT.format(
            name=self.name,
            array=ranges(sorted({shard % tasks + 1 for shard in self.missing})),
            cpus=self.cpus,
            time=self.time,
            notice=NOTICE,
            folder=Path.cwd(),
            extra="".join(f"#SBATCH {option}\n" for option in self.extra),
            tasks=tasks,
            path=shlex.quote(str(program.parent)),
            command=shlex.join(["distort", *self.command]),
        )

    @property
    def name(self) -> str:
        return "distort-" + re.sub(r"[^A-Za-z0-9_.-]", "_", self.dataset.storage.root.rpartition("/")[2])

    def submit(self) -> str:
        """Submit the array and the verification that follows it. Raises DatasetError when Slurm refuses."""
        number = _sbatch([], self.script())
        program = Path(sys.argv[0]).resolve().with_name("shards")
        name = f"{self.name}-verify"
        options = {"job-name": name, "dependency": f"afterany:{number}", "chdir": Path.cwd(), "time": self.time,
                   "cpus-per-task": self.cpus, "output": f"{name}-%j.log"}  # fmt: skip
        after = _sbatch(
            [*(f"--{option}={value}" for option, value in options.items()), *self.extra],
            f"#!/bin/bash\nexec {shlex.join([str(program), 'verify', self.dataset.storage.url])}\n",
        )
        return (
            f"array job {number} makes {plural(len(self.missing), 'shard')}, job {after} verifies them; "
            f"watch with 'distort status {self.dataset.storage.url}', logs are {self.name}-*.log"
        )


def ranges(numbers: list[int]) -> str:
    """Ascending numbers as Slurm writes them: 1-4,7."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def _sbatch(options: list[str], script: str) -> str:
    """Submit ``script``; returns the job's number. Raises DatasetError when Slurm refuses it."""
    done = subprocess.run(["sbatch", "--parsable", *options], input=script, capture_output=True, text=True)
    if done.returncode:
        raise DatasetError(f"sbatch refused the job: {done.stderr.strip()}")
    return done.stdout.strip().partition(";")[0]

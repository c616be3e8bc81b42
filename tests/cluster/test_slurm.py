"""A Slurm of two nodes makes what one machine makes, when nodes die and time limits end tasks."""

import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest

from .conftest import BIN, WORK, Ground, free_port, until

for program in ("munged", "slurmctld", "slurmd", "sbatch"):
    if not shutil.which(program, path="/usr/sbin:/usr/bin"):
        pytest.skip(f"needs {program} (tests/cluster/install.sh)", allow_module_level=True)
if os.geteuid():
    pytest.skip("needs root to start a Slurm of its own", allow_module_level=True)

CONF = """
ClusterName=tests
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
ReturnToService=2
SlurmdTimeout=5
InactiveLimit=0
KillWait=3
SchedulerParameters=sched_interval=1,batch_sched_delay=0
NodeName=n1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={one} CPUs=1 RealMemory=1000
NodeName=n2 NodeHostname=localhost NodeAddr=127.0.0.1 Port={two} CPUs=1 RealMemory=1000
PartitionName=all Nodes=n[1-2] Default=YES MaxTime=INFINITE State=UP
"""


class Slurm:
    """A controller and two nodes of one CPU each, with their own key, sockets, ports and folders."""

    def __init__(self, ground: Ground):
        self.ground, self.folder = ground, ground.folder
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        conf = self.folder / "slurm.conf"
        conf.write_text(CONF.format(folder=self.folder, controller=free_port(), one=free_port(), two=free_port()))
        ground.env |= {"SLURM_CONF": str(conf), "PATH": f"{ground.env['PATH']}:/usr/sbin"}
        files = {name: self.folder / f"munge.{name}" for name in ("socket", "pid", "log", "seed")}
        ground.start(
            "munged", "--foreground", "--force", "--key-file", key, "--socket", files["socket"],
            "--pid-file", files["pid"], "--log-file", files["log"], "--seed-file", files["seed"],
        )  # fmt: skip
        until(files["socket"].exists, "munged")
        ground.start("slurmctld", "-D")
        for node in ("n1", "n2"):
            self.add(node)
        until(lambda: self.ask("sinfo", "-h", "-o", "%T %D").strip() == "idle 2", "two idle nodes", 40)

    def add(self, node: str) -> None:
        self.ground.start("slurmd", "-D", "-N", node, NODE=node)

    def lose(self, node: str) -> None:
        """As by a power cut: the daemon and everything that runs on the node."""
        self.ground.kill(f"NODE={node}")  # first, or it would report the death of the others
        self.ground.kill(f"SLURMD_NODENAME={node}")

    def ask(self, *command: object) -> str:
        return self.ground.run(*command, check=False).stdout

    def submit(self, *options: object, run: list[object]) -> str:
        """Submit an array and return its number."""
        done = self.ground.run(BIN / "distort", "slurm", "--cpus", 1, *options, "--submit", *run, cwd=self.folder)
        return re.match(r"array job (\d+) ", done.stdout)[1]

    def jobs(self) -> str:
        return self.ground.run("squeue", "-h", "-r", "-o", "%i %T %r").stdout

    def finish(self, seconds: float = 90) -> None:
        """Wait until the queue is empty. Requeued tasks need not wait their minutes."""

        def empty():
            for line in self.jobs().splitlines():
                number, state, reason = line.split(maxsplit=2)
                if state == "PENDING" and reason == "BeginTime":
                    time.sleep(2)  # until the end of its first life is known everywhere
                    self.ask("scontrol", "update", f"jobid={number}", "StartTime=now")
            return not self.jobs().strip()

        until(empty, "an empty queue", seconds)

    def logs(self, pattern: str = "*.log") -> str:
        return "\n".join(path.read_text() for path in sorted(self.folder.glob(f"distort-{pattern}")))


@pytest.fixture(scope="module")
def slurm(ground):
    return Slurm(ground)


def finished(d: Path) -> set[str]:
    """Shards of which every column is finished."""
    columns = ["clean", *WORK[1].split(",")]
    return set.intersection(*({file.name for file in d.glob(f"{name}/*.parquet")} for name in columns))


def at_work(slurm: Slurm, d: Path, *marks: str) -> int:
    """A task that is in the middle of a shard; its children are the workers."""

    def look():
        folders = [folder for folder in d.glob(".partial/*") if any(folder.glob("*.part"))]
        pids = {int(folder.name.rsplit("-", 2)[1]) for folder in folders}
        return next(iter(pids.intersection(slurm.ground.pids(*marks))), None)

    return until(look, f"a task at work {marks}", 40)


def test_an_array_makes_the_dataset_and_verifies_it(slurm, tree, same):
    d = slurm.folder / "array"
    slurm.submit("--tasks", 3, run=["run", tree, d, *WORK])
    slurm.finish()
    assert same(d)
    assert "hashes, counts and keys are correct" in slurm.logs("array-verify-*.log")
    again = slurm.ground.run(BIN / "distort", "slurm", "run", tree, d, *WORK, check=False, cwd=slurm.folder)
    assert "all shards are finished" in again.stderr


def test_a_task_stops_before_its_time_limit_and_goes_on(slurm, tree, same):
    d = slurm.folder / "limit"
    number = slurm.submit("--tasks", 1, run=["run", tree, d, *WORK])
    until(lambda: finished(d), "a shard", 40)
    task = at_work(slurm, d)
    for worker in Path(f"/proc/{task}/task/{task}/children").read_text().split():
        os.kill(int(worker), signal.SIGSTOP)  # or it might finish: Slurm looks for limits every 30 s only
    slurm.ground.run("scontrol", "update", f"jobid={number}_1", "TimeLimit=2")  # so the signal is due now
    until(lambda: "stopped by SIGTERM" in slurm.logs("limit-*.log"), "Slurm sends the signal, the task stops")
    slurm.finish()
    assert same(d)
    assert re.search("[1-5] shards? made, [1-5] existed", slurm.logs("limit-*.log"))


def test_running_it_again_fills_the_gaps(slurm, tree, same):
    d = slurm.folder / "gaps"
    number = slurm.submit("--tasks", 2, run=["run", tree, d, *WORK])
    until(lambda: list(d.glob("clean/*.parquet")), "a shard", 40)
    slurm.ask("scancel", number)
    slurm.finish()
    assert len(list(d.glob("avif-30/*.parquet"))) < 6
    slurm.submit("--tasks", 2, run=["run", tree, d, *WORK])
    slurm.finish()
    assert same(d)


def test_a_killed_node_costs_only_time(slurm, tree, same):
    d = slurm.folder / "node"
    slurm.submit("--tasks", 2, run=["run", tree, d, *WORK])
    at_work(slurm, d, "SLURMD_NODENAME=n2")
    slurm.lose("n2")
    slurm.finish()
    assert same(d)
    slurm.add("n2")

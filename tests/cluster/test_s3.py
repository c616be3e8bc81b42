"""Datasets and sources behind s3:// urls, on a real server (OpenStack Swift), and what goes wrong there."""

import os
import shutil
import signal
import socket
import sys
import threading
import time

import pytest

from .conftest import BIN, WORK, end, until


def distort(url, tree, *more):
    return [BIN / "distort", "run", tree, url, *WORK, *more]


def test_a_dataset_in_a_bucket_holds_the_same_files(s3, tree, same):
    s3.ground.run(*distort("s3://bucket/val", tree))
    assert same(s3.download("bucket/val", s3.ground.folder / "val"))
    status = s3.ground.run(BIN / "distort", "status", "s3://bucket/val").stdout
    assert "done 6, running 0, missing 0" in status


def test_pictures_in_a_bucket_make_the_same_dataset(s3, tree, same):
    s3.call(f"fs.put({str(tree)!r}, 'bucket/tree', recursive=True)")
    d = s3.ground.folder / "from-bucket"
    s3.ground.run(*distort(d, "s3://bucket/tree"))
    assert same(d)
    os.mkdir(s3.ground.folder / "tars")
    shutil.make_archive(s3.ground.folder / "tars" / "pictures", "tar", tree / "animals")
    (s3.ground.folder / "tars" / "list.csv").write_text("tree/animals/chelsea_0.jpg,3\n")
    s3.call(f"fs.put({str(s3.ground.folder / 'tars')!r}, 'bucket/', recursive=True)")
    s3.call("fs.copy('bucket/tars/list.csv', 'bucket/list.csv')")
    for source, count in (("s3://bucket/tars/pictures.tar", 12), ("s3://bucket/list.csv", 1)):
        made = s3.ground.run(BIN / "distort", "run", source, tree.parent / source[12:], "--distortions", "jpeg-10")
        assert f"{count} of {count} picture" in made.stdout


def test_the_other_commands_take_the_url(s3, tree, tmp_path):
    url = "s3://bucket/added"
    s3.ground.run(BIN / "distort", "run", tree, url, "--distortions", "jpeg-10", "--shard-size", 8)
    s3.ground.run(BIN / "distort", "add", url, "--distortions", "webp-20")
    verified = s3.ground.run(BIN / "shards", "verify", url, "--decode")
    assert "hashes, counts, keys and bitstreams are correct" in verified.stdout
    s3.ground.run(BIN / "report", "build", url, "--out", tmp_path / "report")
    assert "webp-20" in (tmp_path / "report" / "index.html").read_text()
    code = (
        "import shards, webdataset as wds\n"
        f"tars = shards.urls({url!r}, 'webp-20')\n"
        "print(sum('webp' in s for s in wds.WebDataset(tars, shardshuffle=False)))\n"
        f"print(sum(1 for _ in shards.open({url!r}).read('clean', 'jpeg-10')))\n"
    )
    assert s3.ground.run(sys.executable, "-c", code).stdout.split() == ["24", "24"]


def test_training_reads_from_the_bucket_and_keeps_a_local_copy(s3, tree, tmp_path):
    pytest.importorskip("torchvision", reason="needs the train extra")
    cache, data, val = tmp_path / "cache", "s3://bucket/added", "s3://bucket/judged"
    s3.ground.run(BIN / "distort", "run", tree, val, "--distortions", "jpeg-10", "--seed", 1)
    s3.ground.run(
        BIN / "python", "-m", "train", "finetune", data, "--val", val, "--column", "jpeg-10",
        "--arch", "mnasnet0_5", "--weights", "none", "--new-head", "--epochs", 1, "--batch", 8, "--holdout", 0.2,
        "--workers", 1, "--device", "cpu", "--cache", cache, "--out", tmp_path / "run", "--test-columns", "none",
    )  # fmt: skip
    assert len(list(cache.iterdir())) == 3


class SlowLink(threading.Thread):
    """A relay to the server that passes so many bytes a second towards it, and remembers what was asked."""

    def __init__(self, port: int, rate: int):
        super().__init__(daemon=True)
        self.server, self.rate, self.asked = port, rate, b""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            near, _ = self.listener.accept()
            far = socket.create_connection(("127.0.0.1", self.server))
            threading.Thread(target=self.pump, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self.pump, args=(far, near, False), daemon=True).start()

    def pump(self, source, target, up):
        try:
            while data := source.recv(self.rate // 20):
                if up:
                    self.asked += data
                    time.sleep(len(data) / self.rate)
                target.sendall(data)
        except OSError:
            pass
        source.close()
        target.close()


def test_a_job_killed_in_mid_upload_leaves_no_half_object_and_goes_on(s3, tree, same):
    link = SlowLink(s3.port, rate=80_000)
    url = "s3://bucket/killed"
    job = s3.ground.begin(*distort(url, tree), AWS_ENDPOINT_URL=f"http://127.0.0.1:{link.port}", JOB="killed")
    until(lambda: b"PUT /bucket/killed/clean/000000.tar" in link.asked, "an upload", 40)
    time.sleep(0.3)
    s3.ground.kill("JOB=killed")
    end(job, -signal.SIGKILL)
    assert "clean/000000.tar" not in s3.call(
        "print(fs.find('bucket/killed'))"
    )  # other columns may be there, whole
    assert "running" in s3.ground.run(BIN / "distort", "status", url).stdout
    s3.ground.run(*distort(url, tree))
    assert same(s3.download("bucket/killed", s3.ground.folder / "killed"))
    assert not list(s3.ground.folder.glob("codecproof-*/*"))


def test_two_jobs_at_once_make_one_dataset(s3, tree, same):
    jobs = [s3.ground.begin(*distort("s3://bucket/twice", tree)) for _ in range(2)]
    for job in jobs:
        end(job)
    assert same(s3.download("bucket/twice", s3.ground.folder / "twice"))


def test_two_jobs_with_other_plans_at_once_do_not_mix(s3, tree):
    jobs = [s3.ground.begin(*distort("s3://bucket/race", tree, "--limit", 4, "--seed", seed)) for seed in (1, 2)]
    outputs = sorted((job.wait(timeout=60), job.stdout.read()) for job in jobs)
    assert [status for status, _ in outputs] == [0, 1]
    assert "has another plan" in outputs[1][1]
    s3.ground.run(BIN / "shards", "verify", "s3://bucket/race")


@pytest.mark.parametrize(
    ("url", "env", "words"),
    [
        ("s3://nowhere/val", {}, "bucket does not exist; create it first"),
        ("s3://bucket/x", {"AWS_SECRET_ACCESS_KEY": "wrong"}, "credentials come from the environment"),
        ("s3://bucket/x", {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "Unable to locate credentials"),
        ("s3://bucket/x", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "Could not connect to the endpoint"),
    ],
)
def test_what_cannot_be_reached_is_said_in_one_line(s3, tree, url, env, words):
    made = s3.ground.run(*distort(url, tree), check=False, **env)
    assert made.returncode == 1
    assert words in made.stderr
    assert made.stderr.splitlines()[-1].startswith("Error: s3://"), made.stderr
    assert "Traceback" not in made.stderr


def test_credentials_that_expire_stop_the_job_and_spoil_nothing(s3, tree, same):
    d = s3.ground.folder / "expired"
    job = s3.ground.begin(*distort(d, "s3://bucket/tree", "--workers", 1))
    until(lambda: list(d.glob("clean/*.parquet")), "a shard", 40)
    s3.stop()
    s3.start(key="another")
    assert "credentials come from the environment" in end(job, 1)
    assert not (d / "errors").exists()
    s3.ground.run(*distort(d, "s3://bucket/tree"), AWS_SECRET_ACCESS_KEY="another")
    assert same(d)

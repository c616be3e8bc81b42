"""What ``train evaluate`` writes, ``report build`` reads."""

import csv

import pyarrow.compute as pc
import pyarrow.parquet as pq


def test_real_results_become_rows_of_table_1(cli, run, val_set, weights, training, read_json, tmp_path):
    for method in ("finetune", "expert"):
        done = cli(*training(method, out=method))
        assert done.exit_code == 0, done.output
    out = tmp_path / "results" / "results.json"
    files = [("--checkpoint", tmp_path / method / "best.safetensors") for method in ("finetune", "expert")]
    done = cli("evaluate", val_set, "--arch", "shufflenet_v2_x0_5", "--weights", weights, *sum(files, ()),
               "--workers", 0, "--out", out)  # fmt: skip
    assert done.exit_code == 0, done.output
    done = run("report", "build", val_set, "--results", out.parent, "--out", tmp_path / "report")
    assert done.returncode == 0, done.stderr
    with (tmp_path / "report" / "tables" / "table1.csv").open() as file:
        rows = {row["distortion"]: row for row in csv.DictReader(file)}
    measured = {result["model"]["method"]: result["columns"] for result in read_json(out)["results"]}
    for name, scores in measured.items():
        cell = float(rows["jpeg-10"][f"shufflenet_v2_x0_5/{name}/accuracy"])
        assert abs(cell - 100 * scores["jpeg-10"]["top1"]) < 1e-9
    assert rows["clean"]["shufflenet_v2_x0_5/expert/accuracy"] == ""
    pairs = pq.read_table(tmp_path / "report" / "tables" / "confusion.parquet")
    expert = pairs.filter((pc.field("base") == "expert") & (pc.field("distortion") == "jpeg-10"))
    right = expert.filter(pc.field("class").cast("string") == pc.field("answer").cast("string"))
    assert pc.sum(expert["answers"]).as_py() == measured["expert"]["jpeg-10"]["n"]
    assert pc.sum(right["answers"]).as_py() / 39 == measured["expert"]["jpeg-10"]["top1"]

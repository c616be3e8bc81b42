"""All trainings of the comparison, the most important first."""

from __future__ import annotations

import json

from design import ALPHA, arguments, runs, train

if __name__ == "__main__":
    work, _, scale = arguments(__doc__)
    rates = json.loads((work / "tuned.json").read_text())
    for number, run in enumerate(todo := runs(scale), 1):
        print(f"# {number}/{len(todo)} {run.name}", flush=True)
        more = ["--alpha", ALPHA * run.factor] if run.factor != 1 else []
        rate = rates.get(run.method)
        train(work, scale, run.method, run.column, run.seed, rate, work / "runs" / run.name, *more)

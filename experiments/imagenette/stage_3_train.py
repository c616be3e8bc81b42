"""All trainings of the comparison, the most important first."""

from __future__ import annotations

import json

from design import ALPHA, Run, arguments, each, runs, train

if __name__ == "__main__":
    work, _, scale = arguments(__doc__)
    rates = json.loads((work / "tuned.json").read_text())

    def one(run: Run) -> None:
        more = ["--alpha", ALPHA * run.factor] if run.factor != 1 else []
        train(
            work, scale, run.method, run.column, run.seed, rates.get(run.method), work / "runs" / run.name, *more
        )

    each(one, runs(scale))

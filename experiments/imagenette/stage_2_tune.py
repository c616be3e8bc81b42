"""A learning rate for every method: the best top-1 on the tuning pictures, with the same budget for each."""

from __future__ import annotations

import json

from design import METHODS, TUNING_SEED, arguments, call, train, trained_on

if __name__ == "__main__":
    work, _, scale = arguments(__doc__)
    chosen = {}
    for method in METHODS:
        column = trained_on(method, scale, scale.tuning_column)
        tried = {}
        for rate in scale.rates:
            out = work / "tuning" / f"{method}_{rate:g}"
            train(work, scale, method, column, TUNING_SEED, rate, out)
            if not (out / "results.json").exists():
                call(
                    "train", "evaluate", work / "data/tune", "--checkpoint", out / "last.safetensors",
                    "--columns", scale.tuning_column, "--present-classes", "--out", out / "results.json",
                )  # fmt: skip
            found = json.loads((out / "results.json").read_text())["results"][0]["columns"][scale.tuning_column]
            tried[rate] = (found["top1"], -found["loss"])
        chosen[method] = max(tried, key=tried.get)
        for rate, (top1, loss) in tried.items():
            print(f"{method} lr {rate:g}: top-1 {top1:.2%}, loss {-loss:.4f}{' *' * (rate == chosen[method])}")
    (work / "tuned.json").write_text(json.dumps(chosen, indent=2) + "\n")

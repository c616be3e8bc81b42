"""The attacks use the datasets and networks of tests/train as well."""

import importlib.util
from pathlib import Path

_spec = importlib.util.spec_from_file_location(
    "train_conftest", Path(__file__).parents[1] / "train" / "conftest.py"
)
_train = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_train)
globals().update({name: value for name, value in vars(_train).items() if not name.startswith("_")})

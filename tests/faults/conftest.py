"""Small inputs for attacks on whole commands."""

import pytest


@pytest.fixture(scope="session")
def two_sets(tree, tmp_path_factory, run):
    """Training and validation: 24 samples of two classes in two orders, 64x64. Read only."""
    roots = [tmp_path_factory.mktemp("two-sets") / name for name in ("train", "val")]
    for seed, root in enumerate(roots):
        made = run(
            "distort", "run", tree, root, "--distortions", "jpeg-10", "--crop", "center:64", "--seed", seed,
            "--shard-size", 12, "--workers", 1,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
    return roots

"""The command ``train``; on N GPUs ``torchrun --nproc-per-node N --no-python train …``."""

from __future__ import annotations

import os
import sys
import traceback
from typing import NoReturn

from shards.console import run
from train.cli import main as command
from train.engine.signals import follow_launcher


def main() -> NoReturn:
    """Run the command and end this process at once, without waiting for peers, threads, workers or destructors."""
    follow_launcher()
    try:
        run(command, "train")
    except BaseException as error:
        if isinstance(error, ModuleNotFoundError) and error.name in ("torch", "torchvision"):
            sys.stderr.write("train needs PyTorch: pip install 'codecproof[train]'\n")
        else:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)


if __name__ == "__main__":
    main()

"""The command ``train``; on N GPUs ``torchrun --nproc-per-node N --no-python train …``."""

from __future__ import annotations

import os
import sys
import traceback

from train.engine.signals import follow_launcher


def main() -> None:
    """Run the command. A failure exits at once, without waiting for peers, threads or workers."""
    follow_launcher()
    try:
        status = _run()
    except BaseException:
        traceback.print_exc()
        status = 1
    if status:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _run() -> int:
    try:
        from train.cli import main as command

        command(prog_name="train")
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "torchvision"):
            raise
        sys.stderr.write("train needs PyTorch: pip install 'codecproof[train]'\n")
        return 1
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


if __name__ == "__main__":
    main()

"""``train``, and what torchrun starts: ``torchrun --nproc-per-node 8 -m train …``."""

import sys

try:
    from train.cli import main
except ModuleNotFoundError as error:
    if error.name not in ("torch", "torchvision"):
        raise
    sys.exit("train needs PyTorch: pip install 'codecproof[train]'")

if __name__ == "__main__":
    main(prog_name="train")

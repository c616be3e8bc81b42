"""``python -m train``: what ``torchrun -m train`` starts on every rank."""

from train.cli import main

main(prog_name="train")

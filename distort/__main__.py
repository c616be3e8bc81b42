"""``python -m distort``, the same as the command ``distort``."""

from distort.cli import main

if __name__ == "__main__":
    main(prog_name="distort")

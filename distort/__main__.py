"""The command ``distort``, also as ``python -m distort``."""

from distort.cli import main as command
from shards.console import run


def main() -> None:
    """Run the command and end this process."""
    run(command, "distort")


if __name__ == "__main__":
    main()

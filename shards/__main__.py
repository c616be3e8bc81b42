"""The command ``shards``, also as ``python -m shards``."""

from shards.cli import main as command
from shards.console import run


def main() -> None:
    """Run the command and end this process."""
    run(command, "shards")


if __name__ == "__main__":
    main()

"""The command ``report``, also as ``python -m report``."""

from report.cli import main as command
from shards.console import run


def main() -> None:
    """Run the command and end this process."""
    run(command, "report")


if __name__ == "__main__":
    main()

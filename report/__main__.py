"""``python -m report``, the same as the command ``report``."""

from report.cli import main

if __name__ == "__main__":
    main(prog_name="report")

"""``python -m shards``, the same as the command ``shards``."""

from shards.cli import main

if __name__ == "__main__":
    main(prog_name="shards")

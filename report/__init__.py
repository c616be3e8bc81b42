"""Turn datasets and results into tables and figures for papers, and into one page that holds them.

>>> import report
>>> report.build("val", results=["runs"], out="report")
PosixPath('report/index.html')
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from report.api import build

__all__ = ["build"]


def __getattr__(name: str) -> object:
    # Imported when it is used: the command's --help needs no plotting library.
    if name == "build":
        from report.api import build

        return build
    raise AttributeError(f"module 'report' has no attribute {name!r}")

"""A table and its four formats: CSV for programs; Markdown, LaTeX (booktabs) and HTML for people."""

from __future__ import annotations

import csv
import functools
import html
import io
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

MISSING = ""  #: a blank, never a zero
FLOAT = 25  #: rows of one LaTeX float: what a page holds
ACROSS = 60  #: columns of a table on the page
PAGE = 345  #: points: the text width of LaTeX's article class
GAP = 3  #: points on either side of a cell
#: LaTeX's font sizes with the mean width of a character in points.
SIZES = {"footnotesize": 4.5, "scriptsize": 4.0, "tiny": 3.3}


@dataclass(frozen=True)
class Text:
    """The content of a cell: the value, and a smaller second part such as its interval."""

    main: str = MISSING
    small: str = ""


@dataclass(frozen=True)
class Column:
    """One column for people: ``cell`` turns a record into ``Text``; ``group`` is a heading over neighbours."""

    heading: str
    cell: Callable[[dict], Text]
    group: str = ""
    left: bool = False
    aside: bool = False  #: prose that a printed table leaves out


@dataclass(frozen=True)
class Table:
    """Records and their presentation. The CSV holds ``records`` unrounded; the other formats show ``columns``."""

    name: str
    title: str
    note: str
    columns: Sequence[Column]
    records: Sequence[dict]
    typeset: str | None = None  #: custom LaTeX, for a table too wide to print column by column

    def csv(self) -> str:
        """All fields of all records; a missing value is empty, an infinite one is ``inf``."""
        out = io.StringIO()
        fields = list(dict.fromkeys(field for record in self.records for field in record))
        writer = csv.DictWriter(out, fields, lineterminator="\n")
        writer.writerow({field: cell(field) for field in fields})
        writer.writerows({field: cell(value) for field, value in record.items()} for record in self.records)
        return out.getvalue()

    def markdown(self) -> str:
        headings = [" ".join(filter(None, (column.group, column.heading))) for column in self.columns]
        lines = [headings, [":--" if column.left else "--:" for column in self.columns]]
        for record in self.records:
            cells = (column.cell(record) for column in self.columns)
            lines.append([" ".join(filter(None, (cell.main, cell.small))) for cell in cells])
        body = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
        return f"{body}\n\n{self.note}\n" if self.note else f"{body}\n"

    def latex(self) -> str:
        """``table*`` floats of at most ``FLOAT`` rows; they need ``\\usepackage{booktabs}`` only.

        The font is the largest in which the table fits ``PAGE``; a column of long text wraps.
        """
        if self.typeset is not None:
            return self.typeset
        if any(column.aside for column in self.columns):
            printed = [column for column in self.columns if not column.aside]
            return replace(self, columns=printed).latex()
        starts = range(0, max(len(self.records), 1), self._rows)
        return "\n".join(self._latex_float(start) for start in starts)

    def _latex_float(self, start: int) -> str:
        caption = f"{self.title}. {self.note}" if start == 0 else f"{self.title}, continued."
        label = self.name if start == 0 else f"{self.name}-{start // self._rows + 1}"
        size, layout = self._layout
        lines = [
            "\\begin{table*}",
            f"\\centering\\{size}\\setlength{{\\tabcolsep}}{{{GAP}pt}}",
            f"\\caption{{{escape_latex(caption)}}}",
            f"\\label{{tab:{label}}}",
            f"\\begin{{tabular}}{{{layout}}}",
            "\\toprule",
            *self._latex_groups(),
            " & ".join(escape_latex(column.heading) for column in self.columns) + r" \\",
            "\\midrule",
        ]
        for record in self.records[start : start + self._rows]:
            lines.append(" & ".join(_latex_cell(column.cell(record)) for column in self.columns) + r" \\")
        return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", "\\end{table*}", ""])

    @property
    def _rows(self) -> int:
        """Rows of one float: fewer than ``FLOAT`` if text wraps, because wrapped rows are higher."""
        return FLOAT // 2 if "p{" in self._layout[1] else FLOAT

    @functools.cached_property
    def _layout(self) -> tuple[str, str]:
        """The font's size and the column specification: letters, or ``p{…pt}`` for text that wraps."""
        widths = [
            max(
                [
                    len(column.heading),
                    *(len(f"{c.main} {c.small}".strip()) for c in map(column.cell, self.records)),
                ]
            )
            for column in self.columns
        ]
        room = PAGE - 2 * GAP * len(widths)
        size = next(
            (size for size, em in SIZES.items() if em * sum(widths) <= room), min(SIZES, key=SIZES.__getitem__)
        )
        points = [SIZES[size] * width for width in widths]
        letters = ["l" if column.left else "r" for column in self.columns]
        texts = sorted((i for i, letter in enumerate(letters) if letter == "l"), key=lambda i: -points[i])
        for i in texts:
            if sum(points) > room:
                words = f"{self.columns[i].heading} {' '.join(self.columns[i].cell(r).main for r in self.records)}"
                least = 1.3 * SIZES[size] * max(map(len, words.split()))  # text breaks between words only
                wrapped = max(points[i] - (sum(points) - room), least)
                if wrapped < points[i]:
                    points[i] = wrapped
                    letters[i] = f"p{{{wrapped:.0f}pt}}"
        return size, "".join(letters)

    def _latex_groups(self) -> list[str]:
        cells, rules, at = [], [], 1
        for group, members in spanned(self.columns):
            cells.append(
                f"\\multicolumn{{{members}}}{{c}}{{{escape_latex(group)}}}" if group else "&" * (members - 1)
            )
            if group:
                rules.append(f"\\cmidrule(lr){{{at}-{at + members - 1}}}")
            at += members
        return [" & ".join(cells) + r" \\", "".join(rules)] if rules else []

    def html(self, limit: int) -> str:
        """A ``<table>`` of at most ``limit`` rows and ``ACROSS`` columns; the files hold all of them."""
        columns = self.columns[:ACROSS]
        lines = [f'<table class="sortable"><caption class="hidden">{html.escape(self.title)}</caption>', "<thead>"]
        if any(column.group for column in columns):
            spans = "".join(
                f'<th colspan="{members}" class=group scope=colgroup>{html.escape(group)}</th>'
                if group
                else f'<td colspan="{members}"></td>'
                for group, members in spanned(columns)
            )
            lines.append(f"<tr>{spans}</tr>")
        marks = [" class=l" if column.left else "" for column in columns]
        headings = "".join(
            f"<th scope=col{mark}><button type=button>{html.escape(column.heading)}</button></th>"
            for mark, column in zip(marks, columns, strict=True)
        )
        lines += [f"<tr>{headings}</tr>", "</thead>", "<tbody>"]
        for record in self.records[:limit]:
            cells = [(mark, column.cell(record)) for mark, column in zip(marks, columns, strict=True)]
            first = f"<th scope=row{cells[0][0]}>{_html_cell(cells[0][1])}</th>"
            rest = "".join(f"<td{mark}>{_html_cell(cell)}</td>" for mark, cell in cells[1:])
            lines.append(f"<tr>{first}{rest}</tr>")
        return "\n".join([*lines, "</tbody>", "</table>"])


def spanned(columns: Sequence[Column]) -> list[tuple[str, int]]:
    """Group headings with the number of columns that each spans."""
    return [(group, len(list(members))) for group, members in groupby(column.group for column in columns)]


def number(value: float | None, digits: int, spread: float | None = None, sign: bool = False) -> Text:
    """A number rounded for people with ± its spread; blank for None, ∞ for infinity."""
    if value is None or math.isnan(value):
        return Text()
    if math.isinf(value):
        return Text("∞" if value > 0 else "−∞")
    if round(value, digits) == 0:
        value, sign = 0.0, False
    main = f"{value:{'+' if sign else ''},.{digits}f}".replace("-", "−")
    return Text(main, "" if spread is None else f"± {spread:,.{digits}f}")


def cell(value: object) -> object:
    """A value for a CSV file: text that a spreadsheet would run as a formula begins with an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _html_cell(cell: Text) -> str:
    small = f" <small>{html.escape(cell.small)}</small>" if cell.small else ""
    return html.escape(cell.main) + small


def _latex_cell(cell: Text) -> str:
    return escape_latex(f"{cell.main} {cell.small}".strip())


LATEX = {
    **{char: f"\\{char}" for char in "%&_#${}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "∞": r"$\infty$",
    "±": r"$\pm$",
    "−": "$-$",
    "–": "--",
    "×": r"$\times$",
    "²": r"$^2$",
    "σ": r"$\sigma$",
    "→": r"$\to$",
    "′": "$'$",
    "“": "``",
    "”": "''",
}
_SPECIAL = re.compile("|".join(map(re.escape, LATEX)))


def escape_latex(text: str) -> str:
    return _SPECIAL.sub(lambda match: LATEX[match[0]], text)

"""Every table of the report, in the order of the page. A new one is a function and an entry here."""

from report.tables.behaviour import calibration, classes, confusions
from report.tables.comparisons import bd_rates, gains, mcnemar, published
from report.tables.deploy import deploy
from report.tables.main import table1
from report.tables.metrics import metrics
from report.tables.recovery import recovery
from report.tables.table import Table

__all__ = ["TABLES", "Table"]

#: Each returns a Table, or None if it would be empty.
TABLES = [table1, metrics, deploy, gains, recovery, mcnemar, bd_rates, published, calibration, classes, confusions]

"""A pytest plugin that prints at the end what tests want seen, from all workers, passed or failed.

A test hands rows of a table over with pytest's own fixture, `record_property("table", rows)`; those
of a parametrized test come together.
"""

from collections import defaultdict


def pytest_terminal_summary(terminalreporter):
    tables = defaultdict(dict)
    for reports in terminalreporter.stats.values():
        for report in reports:
            rows = [v for name, v in getattr(report, "user_properties", ()) if name == "table"]
            if rows:
                test = report.nodeid.partition("[")[0].rpartition("::")[2]
                tables[test][report.nodeid] = "\n".join(rows)
    for test, rows in sorted(tables.items()):
        terminalreporter.section(test.removeprefix("test_").replace("_", " "))
        for _, text in sorted(rows.items()):
            terminalreporter.write_line(text)

"""A pytest plugin that prints the tables of passed and failed tests at the end, from all workers.

A test hands its table over with pytest's own fixture: `record_property("table", text)`.
"""


def pytest_terminal_summary(terminalreporter):
    tables = {
        report.nodeid: value
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == "table"
    }
    for nodeid, table in sorted(tables.items()):
        terminalreporter.section(nodeid.rpartition("::")[2])
        terminalreporter.write_line(table)

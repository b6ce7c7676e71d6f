"""Evidence of a drill: record, journal, ledger, report and terminal output."""

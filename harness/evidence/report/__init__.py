"""What people read of records: terminal output, pages, Allure."""

"""What the Then steps assert: each raises Finding with one line, or returns nothing."""

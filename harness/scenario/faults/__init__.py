"""Every fault that a feature can inject, in one catalogue."""

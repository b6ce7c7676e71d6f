"""Notification Service: stores messages durably, and delivers each at least once under a stable idempotency key."""

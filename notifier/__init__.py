"""The Notification Service: accepts messages durably, delivers each at least once under a stable key."""

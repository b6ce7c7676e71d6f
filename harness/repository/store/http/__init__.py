"""HTTP connections to an object store: timeouts by phase, repeated requests, bandwidth, and errors in one line."""

#!/bin/sh
# As the public image's: whatever is said is said to n8n; `n8n` alone starts it.
exec n8n "$@"

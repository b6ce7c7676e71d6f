#!/bin/sh
# As the public image's: whatever is said is said to minio.
[ "${1:-}" = minio ] || set -- minio "$@"
exec "$@"

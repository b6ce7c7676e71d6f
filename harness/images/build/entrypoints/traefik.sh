#!/bin/sh
# As the public image's: an option or a sub-command first is said to traefik, anything else is run.
set -eu
case "${1:-}" in
  '' | -* | version | healthcheck) exec traefik "$@" ;;
esac
exec "$@"

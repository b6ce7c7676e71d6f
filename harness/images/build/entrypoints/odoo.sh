#!/bin/sh
# As the public image's: `odoo` or an option first is said to odoo, anything else is run. It waits for no database.
set -eu
case "${1:-}" in
  '' | -- ) [ "$#" = 0 ] || shift; exec odoo "$@" ;;
  -*) exec odoo "$@" ;;
esac
exec "$@"

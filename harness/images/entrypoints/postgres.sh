#!/bin/sh
# As the public image's: makes the cluster in $PGDATA where there is none, then runs the server as whoever it is.
set -eu
case "${1:-}" in '' | -*) set -- postgres "$@" ;; esac
if [ "$1" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
  mkdir -p "$PGDATA"
  chmod 700 "$PGDATA"
  work=$(mktemp -d)
  password=${POSTGRES_PASSWORD_FILE:-}
  if [ -z "$password" ]; then
    [ -n "${POSTGRES_PASSWORD:-}" ] || { echo "postgres: neither POSTGRES_PASSWORD_FILE nor POSTGRES_PASSWORD" >&2; exit 1; }
    password=$work/password
    (umask 077; printf '%s\n' "$POSTGRES_PASSWORD" >"$password")
  fi
  # initdb asks for the name of whoever runs it: a user that is in no file gets one.
  if ! getent passwd "$(id -u)" >/dev/null; then
    for library in /usr/lib/*/libnss_wrapper.so; do LD_PRELOAD=$library; done
    NSS_WRAPPER_PASSWD=$work/passwd NSS_WRAPPER_GROUP=$work/group
    echo "postgres:x:$(id -u):$(id -g):PostgreSQL:$PGDATA:/bin/false" >"$NSS_WRAPPER_PASSWD"
    echo "postgres:x:$(id -g):" >"$NSS_WRAPPER_GROUP"
    export LD_PRELOAD NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP
  fi
  eval 'initdb --pgdata="$PGDATA" --username="${POSTGRES_USER:-postgres}" --pwfile="$password" '"${POSTGRES_INITDB_ARGS:-}"
  unset LD_PRELOAD NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP
  printf '\nhost all all all %s\n' "${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >>"$PGDATA/pg_hba.conf"
  rm -rf "$work"
fi
exec "$@"

#!/bin/sh
# As the public image's: makes the cluster in $PGDATA where there is none and sets it up through the default socket of
# the public image, which these programs do not know, then runs the server as whoever it is.
set -eu
sockets=/var/run/postgresql
case "${1:-}" in '' | -*) set -- postgres "$@" ;; esac
[ "$1" != postgres ] || mkdir -p "$sockets" || :
if [ "$1" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
  mkdir -p "$PGDATA"
  chmod 700 "$PGDATA"
  work=$(mktemp -d)
  user=${POSTGRES_USER:-postgres}
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
  eval 'initdb --pgdata="$PGDATA" --username="$user" --pwfile="$password" --set=unix_socket_directories="$sockets" '"${POSTGRES_INITDB_ARGS:-}"
  printf '\nhost all all all %s\n' "${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >>"$PGDATA/pg_hba.conf"
  # The arguments pass through a shell on their way to the temporary server.
  options=$(shift; for word in "$@" -c listen_addresses= -p "${PGPORT:-5432}"; do printf "'%s' " "$(printf %s "$word" | sed "s/'/'\\\\''/g")"; done)
  pg_ctl -D "$PGDATA" -o "$options" -w start
  PGHOST=$sockets PGHOSTADDR='' PGPASSWORD=${PGPASSWORD:-$(cat "$password")} \
    psql -v ON_ERROR_STOP=1 --no-psqlrc --no-password --username "$user" --dbname postgres --set db="${POSTGRES_DB:-$user}" <<'SQL'
SELECT format('CREATE DATABASE %I', :'db') WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'db') \gexec
SQL
  pg_ctl -D "$PGDATA" -m fast -w stop
  unset LD_PRELOAD NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP
  rm -rf "$work"
fi
exec "$@"

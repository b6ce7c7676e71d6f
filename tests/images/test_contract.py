"""Contract of every image, baked and public."""

from __future__ import annotations

import dns.message
import dns.query
import pytest
import urllib3
from minio import Minio

from harness import __version__
from harness.core.service import REGION
from harness.images.engine import engine
from harness.images.find import baked
from harness.images.inside import execute
from harness.images.table import image
from harness.postgres.server import HBA, INITDB
from tests.images.image_under_test import HOME, LOOPBACK, USERS, get, image_under_test, kinds, of, outside, says, stop

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]
SOCKETS = image("postgres").scratch[0]

NGINX = """daemon off; pid nginx.pid; error_log stderr notice;
events {{ }}
http {{
  access_log off; client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c; uwsgi_temp_path d; scgi_temp_path e;
  server {{ listen {0}; location / {{ return 200 "here"; }} }}
}}
"""
KNOT = """server:
    rundir: "{1}"
    listen: [ 0.0.0.0@{0} ]
database:
    storage: "{1}"
zone:
  - domain: estate.test
    file: "{1}/zone"
"""
ZONE = """$ORIGIN estate.test.
$TTL 5
@ SOA ns admin 1 60 60 60 5
@ NS ns
ns A 192.0.2.1
www A 192.0.2.7
"""
PASSWORD = "correct horse"


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize(("name", "kind"), kinds())
def test_programs_are_on_path_and_the_root_is_read_only(name: str, kind: str, user: str) -> None:
    with image_under_test(name, kind, user) as one:
        for program in image(name).programs:
            code, said = one.run("-c", f"command -v {program}", entrypoint="sh")
            assert code == 0, f"{program}: {said}"
        code, said = one.run("-c", f"touch {HOME}/a /tmp/b && ! touch /c 2>/dev/null && id -u", entrypoint="sh")
        assert (code, said.strip()) == (0, user.partition(":")[0])


@pytest.mark.parametrize("name", [name for name, kind in kinds() if kind == "baked"])
def test_a_baked_image_has_a_version_label(name: str) -> None:
    assert engine().images.get(baked(name)).labels["org.opencontainers.image.version"]


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("kind", of("postgres"))
def test_postgres_creates_its_cluster_once(kind: str, user: str) -> None:
    with image_under_test("postgres", kind, user) as one:
        one.put("superuser", f"{PASSWORD}\n")
        one.put("hba", HBA)
        env = {
            "PGDATA": f"{HOME}/data",
            "POSTGRES_PASSWORD_FILE": f"{HOME}/superuser",
            "POSTGRES_INITDB_ARGS": " ".join(INITDB[1:]),
        }
        sockets = f"unix_socket_directories=/tmp,{SOCKETS}"
        options = ("-c", f"hba_file={HOME}/hba", "-c", sockets, "-c", "listen_addresses=0.0.0.0")
        psql = ("psql", "-h", LOOPBACK, "-U", "postgres", "-Atc")
        first = one.start(*options, env=env)
        said = says(first, *psql, "create table t as select 7 as n; show data_checksums", env={"PGPASSWORD": PASSWORD})
        assert said.split() == ["SELECT", "1", "on"]
        code, refused = execute(first, [*psql, "select 1"], env={"PGPASSWORD": "wrong"})
        assert code != 0
        assert b"authentication failed" in refused
        stop(first)
        one.made.remove(first)
        second = one.start(*options, env=env)
        assert says(second, *psql, "select n from t", env={"PGPASSWORD": PASSWORD}).strip() == "7"
        assert says(second, *psql, "show server_version_num", env={"PGPASSWORD": PASSWORD}).startswith("18")


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("kind", of("postgres"))
def test_postgres_initializes_through_its_default_socket(kind: str, user: str) -> None:
    env = {"PGDATA": f"{HOME}/data", "POSTGRES_PASSWORD": PASSWORD, "POSTGRES_DB": "estate", "PGHOST": "/none"}
    env |= {"POSTGRES_INITDB_ARGS": "--auth=scram-sha-256"}
    with image_under_test("postgres", kind, user) as one:  # without that socket the first start fails
        code, said = one.run("-c", "unix_socket_directories=/tmp", env=env)
        assert code != 0
        assert f'"{SOCKETS}/.s.PGSQL.5432" failed' in said
    with image_under_test("postgres", kind, user) as one:
        server = one.start("-c", f"unix_socket_directories=/tmp,{SOCKETS}", env=env)
        psql = ("psql", "-h", LOOPBACK, "-U", "postgres", "-d", "estate", "-Atc")
        assert says(server, *psql, "select current_database()", env={"PGPASSWORD": PASSWORD}).strip() == "estate"


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("kind", of("minio"))
def test_minio_accepts_credentials_from_a_file_once_it_is_healthy(kind: str, user: str) -> None:
    with image_under_test("minio", kind, user) as one:
        one.put("keys", "MINIO_ROOT_USER=someone\nMINIO_ROOT_PASSWORD=something-secret\n")
        number = one.number("s3")
        words = ("server", f"{HOME}/objects", "--address", f"0.0.0.0:{number}")
        # Slow, so that the requests arrive during the start.
        server = one.start(*words, env={"MINIO_CONFIG_ENV_FILE": f"{HOME}/keys"}, ports=("s3",), cpus=0.05)
        assert get(server, number, "/minio/health/cluster")[0] == 200
        once = urllib3.PoolManager(retries=urllib3.Retry(total=0))
        where = f"{LOOPBACK}:{outside(server, number)}"
        Minio(where, "someone", "something-secret", secure=False, region=REGION, http_client=once).make_bucket("first")
        assert "minioadmin" not in server.logs().decode()  # MinIO's default credentials


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("kind", of("nginx"))
def test_nginx_validates_and_serves_a_configuration(kind: str, user: str) -> None:
    with image_under_test("nginx", kind, user) as one:
        number = one.number("http")
        one.put("front.conf", NGINX.format(number))
        one.put("bad.conf", "no such thing;\n")
        command = ("-e", "stderr", "-p", f"{HOME}/", "-c")
        assert one.run(*command, f"{HOME}/front.conf", "-t", entrypoint="nginx")[0] == 0
        assert one.run(*command, f"{HOME}/bad.conf", "-t", entrypoint="nginx")[0] == 1
        assert get(one.start("nginx", *command, f"{HOME}/front.conf", ports=("http",)), number, "/") == (200, "here")


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("kind", of("knot"))
def test_knot_answers_queries(kind: str, user: str) -> None:
    with image_under_test("knot", kind, user) as one:
        number = one.number("dns")
        one.put("knot.conf", KNOT.format(number, HOME))
        one.put("zone", ZONE)
        server = one.start("knotd", "-c", f"{HOME}/knot.conf", ports=("dns",))
        says(server, "test", "-e", f"{HOME}/knot.pid")
        question = dns.message.make_query("www.estate.test", "A")
        answer = dns.query.tcp(question, LOOPBACK, port=outside(server, number), timeout=10)
        assert [str(item) for found in answer.answer for item in found] == ["192.0.2.7"]


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("kind", of("traefik"))
def test_traefik_serves_a_static_configuration(kind: str, user: str) -> None:
    with image_under_test("traefik", kind, user) as one:
        number = one.number("http")
        one.put("traefik.yml", f"entryPoints:\n  web:\n    address: ':{number}'\nping:\n  entryPoint: web\n")
        server = one.start(f"--configfile={HOME}/traefik.yml", ports=("http",))
        assert get(server, number, "/ping") == (200, "OK")


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("kind", of("odoo"))
def test_odoo_starts_with_its_modules(kind: str, user: str) -> None:
    with image_under_test("odoo", kind, user) as one:
        for words, entrypoint in ((("--version",), None), (("odoo", "--version"), None), (("--version",), "odoo")):
            code, said = one.run(*words, entrypoint=entrypoint)
            assert (code, said.startswith("Odoo Server 19.0")) == (0, True), said
        ask = (
            "from odoo.modules import module as m; m.initialize_sys_path(); "
            "print(m.get_module_path('sale_management'), m.get_module_path('web'))"
        )
        code, said = one.run("python3", "-c", ask)
        root = "/usr/lib/python3/dist-packages/odoo/addons"
        assert (code, said.split()[-2:]) == (0, [f"{root}/sale_management", f"{root}/web"]), said


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("kind", of("n8n"))
def test_n8n_reports_its_version(kind: str, user: str) -> None:
    with image_under_test("n8n", kind, user) as one:
        for entrypoint in (None, "n8n"):
            code, said = one.run("--version", entrypoint=entrypoint)
            assert (code, said.split()[-1:]) == (0, ["2.41.1"]), said


@pytest.mark.parametrize("kind", of("n8n"))
def test_n8n_starts_without_arguments(kind: str) -> None:
    with image_under_test("postgres", "baked", USERS[1]) as databases, image_under_test("n8n", kind, USERS[1]) as one:
        postgres = databases.start(env={"PGDATA": f"{HOME}/data", "POSTGRES_PASSWORD": PASSWORD})
        says(postgres, "pg_isready", "-h", LOOPBACK, "-U", "postgres")  # -U has no default for a user without a name
        env = {"N8N_USER_FOLDER": HOME, "N8N_DIAGNOSTICS_ENABLED": "false", "DB_TYPE": "postgresdb"}
        env |= {"DB_POSTGRESDB_DATABASE": "postgres", "DB_POSTGRESDB_HOST": LOOPBACK}
        env |= {"DB_POSTGRESDB_USER": "postgres", "DB_POSTGRESDB_PASSWORD": PASSWORD}
        server = one.start(env=env, beside=f"container:{postgres.id}")
        ask = "fetch('http://127.0.0.1:5678/healthz').then(a => { process.exit(a.status === 200 ? 0 : 1) })"
        says(server, "node", "-e", ask)


@pytest.mark.parametrize("user", USERS)
def test_the_notifier_reports_missing_settings(user: str) -> None:
    with image_under_test("notifier", "baked", user) as one:
        code, said = one.run()
        assert (code, said.startswith("notifier: not set: NOTIFIER_DB_HOST")) == (2, True), said
        code, said = one.run("python3", "-c", "import harness")
        assert "No module named 'harness'" in said  # the image contains no code of the harness
        assert code == 1


@pytest.mark.parametrize("user", USERS)
def test_blackstart_has_all_its_programs(user: str) -> None:
    with image_under_test("blackstart", "baked", user) as one:
        code, said = one.run("blackstart", "--help")
        assert (code, "doctor" in said) == (0, True), said
        assert one.run("blackstart", "--version") == (0, f"blackstart {__version__}\n")
        for program, said in (("pg_dump", "18."), ("pg_restore", "18."), ("psql", "18."), ("rclone", "rclone v1.")):
            code, found = one.run("version" if program == "rclone" else "--version", entrypoint=program)
            assert code == 0
            assert said in found

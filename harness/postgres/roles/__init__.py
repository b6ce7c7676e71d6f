"""Server-wide data of a server: roles, memberships, settings, grants on parameters, properties of databases."""

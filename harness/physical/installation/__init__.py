"""What a base backup needs of the PostgreSQL installation that it is restored onto: libraries, locales, collations."""

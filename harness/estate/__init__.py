"""The declared estate: parsers of its configuration, its services, and connections to its sites."""

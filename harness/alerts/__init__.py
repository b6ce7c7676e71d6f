"""Who is told, and whether it was delivered."""

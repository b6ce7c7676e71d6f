"""Sites, backup, strike, recovery: the mission itself."""

"""What only drills need: faults and checks. Imported by steps and fixtures alone; in no image."""

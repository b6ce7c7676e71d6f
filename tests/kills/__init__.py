"""Kill matrix: a drill and restore tests are killed before and after every change that they make, and swept."""

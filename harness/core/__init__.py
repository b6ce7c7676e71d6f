"""Pure: what a drill is. No I/O, no third party."""

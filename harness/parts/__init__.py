"""Where the embedded programs come from."""

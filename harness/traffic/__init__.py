"""Front door (nginx), DNS (Knot), and clients that use them."""

"""How fast the queue is."""

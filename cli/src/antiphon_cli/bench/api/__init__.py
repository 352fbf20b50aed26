"""How fast the API answers, and what an upload costs it."""

"""The systems that race on Redis, each in a file of its own."""

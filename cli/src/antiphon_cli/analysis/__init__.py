"""The analysis of recordings, in this process or on a server, told in the same way."""

"""The routes, one file per group. Thin: they translate between HTTP and functions that know nothing of it."""

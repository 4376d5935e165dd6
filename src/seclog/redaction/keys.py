"""TEMPORARY STUB."""
def is_secret(name): return name in ("password", "token")

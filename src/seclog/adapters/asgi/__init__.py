"""The ASGI door. One line for Starlette and FastAPI, one for any other ASGI app (Litestar, Quart, …):

from seclog.adapters.asgi import install, SecurityEventMiddleware

install(app)                                  # Starlette, FastAPI: around everything, sees the 500s too
app.add_middleware(SecurityEventMiddleware)   # the same, inside of Starlette's own error page
app = SecurityEventMiddleware(app)            # any ASGI app

Settings: an argument (`install(app, {"service": "shop"})`), `seclog.configure`, a TOML file, the environment.
"""

from seclog.adapters.asgi.door import SecurityEventMiddleware, install
from seclog.adapters.asgi.fastapi import Actor, audit_access

__all__ = ["Actor", "SecurityEventMiddleware", "audit_access", "install"]

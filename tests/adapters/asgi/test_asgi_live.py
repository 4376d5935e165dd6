"""The contract in Starlette and FastAPI behind uvicorn, with two workers."""

from adapters.live import LiveContract


class TestStarletteUvicorn(LiveContract):
    APP = "adapters.asgi.contract_live:starlette"
    SERVER = "uvicorn"
    believed = "203.0.113.9"  # uvicorn trusts headers from its own host


class TestFastAPIUvicorn(TestStarletteUvicorn):
    APP = "adapters.asgi.contract_live:fastapi"

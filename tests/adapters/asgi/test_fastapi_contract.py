"""The contract in FastAPI: as a server calls the app, and with either door."""

from adapters.asgi.contract_app import as_middleware, create_fastapi
from adapters.asgi.test_starlette_contract import ASGIContract


class TestFastAPI(ASGIContract):
    BY_CALL = ASGIContract.BY_CALL - {"token_invalid", "validation"}
    create = staticmethod(create_fastapi)


class TestFastAPIMiddleware(TestFastAPI):
    door = staticmethod(as_middleware)

"""The contract apps for a real server's workers; seclog's settings come from the environment."""

from adapters.asgi.contract_app import create_fastapi, create_starlette


def __getattr__(name):
    """Make the application that is asked for."""
    makers = {"starlette": create_starlette, "fastapi": create_fastapi}
    if name not in makers:
        raise AttributeError(name)
    return makers[name]()

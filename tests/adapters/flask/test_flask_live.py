"""The contract in Flask behind gunicorn, with two workers of eight threads."""

from adapters.live import LiveContract


class TestFlaskGunicorn(LiveContract):
    APP = "adapters.flask.contract_live:app"
    SERVER = "gunicorn"

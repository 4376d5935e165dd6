"""The contract app for a real server's workers; seclog's settings come from the environment."""

from adapters.flask.contract_app import create_app

app = create_app()

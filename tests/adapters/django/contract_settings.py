"""The test project's settings for a live server of the contract app: a database that the workers share."""

import os
from pathlib import Path

from adapters import contract_app
from djangoapp.settings import *  # noqa: F403
from djangoapp.settings import MIDDLEWARE, SECLOG

SECRET_KEY = contract_app.KEY
ROOT_URLCONF = os.environ["CONTRACT_URLS"]
ALLOWED_HOSTS = ["*"]
MIDDLEWARE = [*MIDDLEWARE, "adapters.django.contract_app.SorryMiddleware"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": Path(os.environ["CONTRACT_FOLDER"], "db.sqlite3"),
        "OPTIONS": {"timeout": 30, "transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL"},
    }
}
SECLOG = {**contract_app.SETTINGS, "watch_models": SECLOG["watch_models"]}

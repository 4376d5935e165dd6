"""The Django project for real servers, as WSGI and as ASGI application."""

import os

os.environ["DJANGO_SETTINGS_MODULE"] = "faults.apps.settings"

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application

wsgi = get_wsgi_application()
asgi = get_asgi_application()

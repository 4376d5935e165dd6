"""The contract app for real servers: `wsgi` and `asgi`. Run as a program it makes the database."""

import os

os.environ["DJANGO_SETTINGS_MODULE"] = "adapters.django.contract_settings"


def __getattr__(name):
    """Make the application that is asked for: they differ in their native kind of handler."""
    from django.core.asgi import get_asgi_application
    from django.core.wsgi import get_wsgi_application

    makers = {"wsgi": ("sync", get_wsgi_application), "asgi": ("async", get_asgi_application)}
    if name not in makers:
        raise AttributeError(name)
    kind, make = makers[name]
    os.environ["CONTRACT_URLS"] = f"adapters.django.contract_urls_{kind}"
    return make()


if __name__ == "__main__":
    os.environ["CONTRACT_URLS"] = "djangoapp.urls"
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", run_syncdb=True, verbosity=0)

    from adapters.django.contract_app import populate

    populate()

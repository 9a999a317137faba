"""Django's settings for the contract's application, whose views are in ``django_urls``."""

import logging
from collections.abc import Iterator

import django
import pytest
from django.conf import settings

MIDDLEWARE = ["dockerflow.django.middleware.DockerflowMiddleware"]

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        # A file without a name, for each connection its own: Django closes none in memory.
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "file:"}},
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "dockerflow.django"],
        LOGGING_CONFIG=None,
        MIDDLEWARE=MIDDLEWARE,
        ROOT_URLCONF="django_urls",
        SECRET_KEY="of tests",
    )
    django.setup()

from django.core.asgi import get_asgi_application  # noqa: E402 - after the settings
from django.core.wsgi import get_wsgi_application  # noqa: E402

__all__ = ["MIDDLEWARE", "get_asgi_application", "get_wsgi_application", "quiet_django"]


@pytest.fixture(autouse=True)
def quiet_django() -> Iterator[None]:
    # What Django itself says of an answer is not looked at here.
    logging.getLogger("django").disabled = True
    logging.getLogger("django.request").disabled = True
    yield
    logging.getLogger("django").disabled = False
    logging.getLogger("django.request").disabled = False

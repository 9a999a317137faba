"""A Django project in one file: ``python examples/with_django.py``.

``PORT`` (8000), ``DATABASE`` (an SQLite file) and ``APP_DIR`` (the folder of
``version.json``) come from the environment, as do ``LOG_LEVEL`` and ``LOG_FORMAT``.
"""

import os

import structlog
import uvicorn
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.urls import path

import mozlog_py
from dockerflow import checks

log = structlog.get_logger("shop")

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    BASE_DIR=os.environ.get("APP_DIR", "."),
    CSRF_COOKIE_SECURE=True,
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ.get("DATABASE", "shop.sqlite"),
        }
    },
    # The database and its migrations are checked by default.
    DOCKERFLOW_HEARTBEAT_DETAILS="always",
    INSTALLED_APPS=["dockerflow.django"],
    LOGGING_CONFIG=None,  # logging is set up below
    MIDDLEWARE=[
        "dockerflow.django.middleware.DockerflowMiddleware",
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY=os.environ.get(
        "SECRET_KEY", "the key of this example, which each of its readers knows"
    ),
    # Without DEBUG the heartbeat has Django's checks of a deployment; HTTPS is its proxy's.
    SILENCED_SYSTEM_CHECKS=["security.W004", "security.W008"],
)


@checks.register("hosts")
def hosts_are_listed(config: object) -> list[checks.CheckMessage]:
    if "*" not in config.ALLOWED_HOSTS:
        return []
    return [checks.Warning("ALLOWED_HOSTS allows every host", id="shop.W001")]


def index(request: HttpRequest) -> JsonResponse:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 6 * 7")
        (answer,) = cursor.fetchone()
    log.info("answered", answer=answer)
    return JsonResponse({"answer": answer})


urlpatterns = [path("", index)]

if __name__ == "__main__":
    mozlog_py.configure("shop", loggers={"uvicorn.access": "WARNING"})
    application = get_asgi_application()
    uvicorn.run(application, port=int(os.environ.get("PORT", "8000")), log_config=None)

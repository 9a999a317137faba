"""A model of Django, for processes that may have configured Django already.

To be imported when a test runs: modules that pytest has yet to collect may configure it.
"""

import django
from django.conf import settings

if not settings.configured:
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        LOGGING_CONFIG=None,
    )
    django.setup()

from django.db import models


class Author(models.Model):
    name = models.CharField(max_length=9)

    class Meta:
        app_label = "shop"

    def __str__(self) -> str:
        return self.name

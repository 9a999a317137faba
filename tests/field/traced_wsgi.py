"""The WSGI applications of the field, as ``ddtrace-run`` has them."""

import ddtrace.auto  # noqa: F401 - patches what is imported after it
from wsgi_stack import app  # noqa: F401

"""Werkzeug's own server, as ``flask run`` starts it: ``python -m wsgi_werkzeug PORT``."""

import sys

from werkzeug.serving import run_simple

if __name__ == "__main__":
    import wsgi_stack

    run_simple("127.0.0.1", int(sys.argv[1]), wsgi_stack.app, threaded=True)

"""The contract, and upstream's surface, of the Flask adapter."""

import contextlib
from pathlib import Path
from typing import Any
from unittest import mock

import flask_login
import pytest
from conformance import Capture
from contract import Contract, Lines
from contract_flask import application
from drivers import WSGIDriver
from flask import (
    Flask,
    Response,
    abort,
    current_app,
    g,
    got_request_exception,
    request,
    session,
    stream_with_context,
)
from flask.sessions import SecureCookieSessionInterface
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from dockerflow import checks
from dockerflow.checks._run.slots import Slots
from dockerflow.flask import Dockerflow
from dockerflow.flask import app as module
from dockerflow.flask.signals import heartbeat_failed, heartbeat_passed
from dockerflow.request_id import RequestIdPolicy
from dockerflow.settings import SettingsError
from dockerflow.summary import add_fields
from mozlog_py import context


class TestContract(Contract):
    slash_status = 404

    def make(self, folder: Path, settings: dict[str, Any] | None = None) -> WSGIDriver:
        return WSGIDriver(application(folder, settings))


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    return application(tmp_path)


@pytest.fixture
def dockerflow(app: Flask) -> Dockerflow:
    extension = app.extensions["dockerflow"]
    assert type(extension) is Dockerflow
    return extension


class TestClient:
    def test_client_has_the_summary_when_it_has_the_response(
        self, app: Flask, lines: Lines
    ) -> None:
        response = app.test_client().get("/")
        assert lines.summary["code"] == 200
        assert response.data == b"hello"
        response.close()
        assert len(lines.summaries) == 1

    def test_client_has_the_summary_of_an_exception_that_it_raises(
        self, app: Flask, lines: Lines
    ) -> None:
        app.testing = True
        with pytest.raises(ValueError, match="boom"):
            app.test_client().get("/boom")
        assert (lines.summary["msg"], lines.summary["code"]) == ("boom", 500)

    def test_client_sees_what_a_handler_made_of_an_exception(
        self, app: Flask, lines: Lines
    ) -> None:
        @app.errorhandler(Exception)
        def handler(error: Exception) -> tuple[str, int]:
            return "sorry", 503

        @app.errorhandler(500)
        def failed(error: Exception) -> tuple[str, int]:
            return "sorry", 502

        assert app.test_client().get("/boom").status_code == 503
        # An exception with a handler is not unhandled.
        assert (lines.summary["code"], lines.summary["errno"]) == (503, 0)

    def test_client_sees_the_page_for_an_unhandled_one(self, app: Flask, lines: Lines) -> None:
        @app.errorhandler(500)
        def failed(error: Exception) -> tuple[str, int]:
            return "sorry", 502

        assert app.test_client().get("/boom").status_code == 502
        assert (lines.summary["code"], lines.summary["errno"]) == (502, 500)


class TestContextsOfTheCaller:
    """Flask's contexts, which the caller of an application may enter and leave as well."""

    @pytest.fixture
    def app(self, tmp_path: Path) -> Flask:
        app = application(tmp_path)
        app.secret_key = "secret"

        @app.get("/export")
        def export() -> Response:
            context.bind(exported=True)
            return Response(stream_with_context(iter(["a", "b"])))

        @app.get("/remember")
        def remember() -> str:
            context.bind(remembered=True)
            session["cart"] = 7
            g.seen = True
            return "ok"

        @app.get("/inside")
        def inside() -> bytes:
            with current_app.test_client() as client:
                return client.get("/export").data

        return app

    def test_stream_with_the_contexts_of_its_request_is_read_in_the_block_of_a_client(
        self, app: Flask, lines: Lines
    ) -> None:
        with app.test_client() as client:
            response = client.get("/export", headers={"X-Request-Id": "r1"})
            assert response.data == b"ab"
            assert request.path == "/export"
            response.close()
        assert (lines.summary["code"], lines.summary["rid"]) == (200, "r1")
        assert lines.summary["exported"] is True

    def test_stream_with_the_contexts_of_its_request_is_left_unread_in_the_block_of_a_client(
        self, app: Flask, lines: Lines
    ) -> None:
        with app.test_client() as client:
            client.get("/export").close()
            response = client.get("/export")
            assert next(response.iter_encoded()) == b"a"
            response.close()
        assert [line["Fields"]["code"] for line in lines.summaries] == [200, 200]

    def test_stream_with_the_contexts_of_its_request_is_read_behind_a_block_of_the_caller(
        self, app: Flask, lines: Lines
    ) -> None:
        with app.app_context():
            response = app.test_client().get("/export")
        assert response.data == b"ab"
        response.close()
        assert lines.summary["code"] == 200

    def test_caller_reads_what_the_request_has_set_and_has_its_own_bindings_back(
        self, app: Flask, lines: Lines
    ) -> None:
        with context.bound(test="it"), app.test_client() as client:
            client.get("/remember")
            assert (g.seen, session["cart"]) == (True, 7)
            assert context.get() == {"test": "it"}
        assert lines.summary["remembered"] is True

    def test_request_from_within_a_request_has_its_own_bindings(
        self, app: Flask, lines: Lines
    ) -> None:
        assert app.test_client().get("/inside").data == b"ab"
        inner, outer = lines.summaries
        assert (inner["Fields"]["path"], outer["Fields"]["path"]) == ("/export", "/inside")
        assert inner["Fields"]["rid"] != outer["Fields"]["rid"]
        assert "exported" not in outer["Fields"]


class TestHooksThatComeFirst:
    """What Flask calls before the extension's own ``before_request``."""

    @pytest.fixture
    def app(self, tmp_path: Path) -> Flask:
        app = Flask("shop", root_path=str(tmp_path))
        flask_login.LoginManager(app).request_loader(lambda _: User())

        @app.before_request
        def gate() -> Any:
            if request.path == "/boom":
                raise RuntimeError("redis is down")
            if request.path == "/closed" and flask_login.current_user.is_authenticated:
                return "closed", 403
            return None

        Dockerflow(app)
        return app

    def test_exception_of_an_earlier_hook_is_an_error(self, app: Flask, lines: Lines) -> None:
        assert app.test_client().get("/boom").status_code == 500
        assert (lines.summary["code"], lines.summary["errno"]) == (500, 500)
        assert lines.summary["error"] == "RuntimeError('redis is down')"
        assert "t" in lines.summary

    def test_answer_of_an_earlier_hook_has_the_user(self, app: Flask, lines: Lines) -> None:
        assert app.test_client().get("/closed").status_code == 403
        assert (lines.summary["uid"], lines.summary["errno"]) == ("0", 0)

    def test_session_that_cannot_be_opened_is_an_error(self, app: Flask, lines: Lines) -> None:
        class Sessions(SecureCookieSessionInterface):
            def open_session(self, *_: Any) -> Any:
                raise ConnectionError("no sessions")

        app.session_interface = Sessions()
        assert app.test_client().get("/closed").status_code == 500
        assert (lines.summary["errno"], lines.summary["msg"]) == (500, "no sessions")

    def test_preprocessor_of_values_that_raises_is_an_error(self, app: Flask, lines: Lines) -> None:
        @app.url_value_preprocessor
        def fail(*_: Any) -> None:
            raise LookupError("no tenant")

        assert app.test_client().get("/closed").status_code == 500
        assert (lines.summary["errno"], lines.summary["msg"]) == (500, "no tenant")


class TestLayersInside:
    """WSGI middleware that was there before the extension."""

    @pytest.fixture
    def app(self, tmp_path: Path) -> Flask:
        app = Flask("shop", root_path=str(tmp_path))
        app.add_url_rule("/<name>", "view", lambda name: "view")
        inside = app.wsgi_app

        def layer(environ: Any, start_response: Any) -> Any:
            body = inside(environ, start_response)
            if environ["PATH_INFO"] == "/raises":
                raise ValueError("a bug of the layer")
            if environ["PATH_INFO"] == "/body":
                return failing_after(body)
            return body

        app.wsgi_app = layer  # type: ignore[method-assign]
        Dockerflow(app)
        return app

    def test_layer_inside_that_raises_after_the_view_is_an_error(
        self, app: Flask, lines: Lines
    ) -> None:
        with pytest.raises(ValueError, match="a bug of the layer"):
            app.test_client().get("/raises")
        assert (lines.summary["code"], lines.summary["errno"]) == (500, 500)

    def test_layer_inside_whose_body_raises_is_an_error(self, app: Flask, lines: Lines) -> None:
        with pytest.raises(ValueError, match="a bug of the body"):
            _ = app.test_client().get("/body").data
        assert (lines.summary["code"], lines.summary["errno"]) == (200, 500)

    def test_layer_inside_changes_nothing_of_a_good_response(
        self, app: Flask, lines: Lines
    ) -> None:
        response = app.test_client().get("/good")
        # Before the response is closed: tests of services look for it then.
        assert (lines.summary["code"], lines.summary["errno"]) == (200, 0)
        assert response.data == b"view"
        response.close()
        assert len(lines.summaries) == 1

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_layer_of_werkzeug_inside_lets_the_summary_come_with_the_response(
        self, method: str, tmp_path: Path, lines: Lines
    ) -> None:
        app = Flask("shop", root_path=str(tmp_path))
        app.add_url_rule("/", "view", lambda: context.bind(seen=g.request_id) or "view")
        app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
        Dockerflow(app)
        response = app.test_client().open("/", method=method)
        assert lines.summary["seen"] == lines.summary["rid"]
        response.close()
        assert len(lines.summaries) == 1


def failing_after(body: Any) -> Any:
    yield from body
    raise ValueError("a bug of the body")


class TestOwnId:
    def test_own_id_of_none_stays(self) -> None:
        app = Flask("shop")
        app.before_request(lambda: setattr(g, "request_id", None))
        Dockerflow(app)

        @app.get("/own")
        def own() -> str:
            return repr(g.request_id)

        assert app.test_client().get("/own").data == b"None"


class TestContextAroundSeveralRequests:
    """A fixture of tests often is ``with app.app_context(): yield app.test_client()``."""

    def test_an_id_in_g_is_that_of_the_request(self, app: Flask) -> None:
        @app.get("/g")
        def shown() -> str:
            return f"{g.request_id} {g._request_id}"

        with app.app_context():
            for rid in ("r1", "r2", "r3"):
                answer = app.test_client().get("/g", headers={"X-Request-Id": rid})
                assert answer.text == f"{rid} {rid}"

    def test_an_id_in_g_that_the_application_has_set_stays(self, app: Flask) -> None:
        @app.get("/g")
        def shown() -> str:
            return str(g.request_id)

        with app.app_context():
            g.request_id = "own"
            for rid in ("r1", "r2"):
                assert app.test_client().get("/g", headers={"X-Request-Id": rid}).text == "own"


class TestHooksByHand:
    def test_hooks_by_hand_make_a_summary(self, app: Flask, lines: Lines) -> None:
        headers = {"User-Agent": "me", "X-Request-Id": "r1"}
        with app.test_request_context("/x", headers=headers):
            app.preprocess_request()
            assert g.request_id == g._request_id == "r1"
            assert isinstance(g._start_timestamp, float)
            assert context.get() == {"rid": "r1"}
            app.process_response(Response("", 201))
            app.process_response(Response("", 201))
        assert context.get() == {}
        assert {key: lines.summary[key] for key in ("agent", "code", "errno", "rid", "uid")} == {
            "agent": "me", "code": 201, "errno": 0, "rid": "r1", "uid": "",
        }  # fmt: skip

    def test_hooks_by_hand_make_a_summary_of_an_exception(self, app: Flask, lines: Lines) -> None:
        with app.test_request_context("/x"):
            app.preprocess_request()
            app.handle_exception(ValueError("boom"))
            assert g._has_exception
        (line,) = lines.summaries
        assert (line["Severity"], line["Fields"]["errno"], line["Fields"]["msg"]) == (
            3,
            500,
            "boom",
        )

    def test_hooks_by_hand_do_without_what_others_deleted(self, app: Flask, lines: Lines) -> None:
        with app.test_request_context("/x", headers={"X-Request-Id": "r1"}):
            app.preprocess_request()
            del g._start_timestamp, g._request_id, g.request_id
            app.process_response(Response(""))
        assert "t" not in lines.summary
        assert lines.summary["rid"] == "r1"

    def test_hooks_by_hand_keep_an_id_that_the_application_set(self, app: Flask) -> None:
        with app.test_request_context("/x"):
            g.request_id = "own"
            app.preprocess_request()
            assert g.request_id == "own"


class User(flask_login.UserMixin):
    id: Any = 0


class TestUser:
    @pytest.fixture
    def login(self, app: Flask) -> flask_login.LoginManager:
        app.secret_key = "x"
        return flask_login.LoginManager(app)

    @pytest.mark.parametrize("user_id", [0, "ann"])
    def test_user_that_is_loaded_is_in_the_summary(
        self, app: Flask, login: Any, lines: Lines, user_id: Any
    ) -> None:
        @app.route("/login")
        def do_login() -> str:
            user = User()
            user.id = user_id
            flask_login.login_user(user)
            return ""

        app.test_client().get("/login")
        assert lines.summary["uid"] == str(user_id)

    @pytest.mark.parametrize("with_hook", [False, True])
    def test_user_that_is_unknown_is_none_to_a_subclass_and_an_empty_text_in_the_summary(
        self, lines: Lines, with_hook: bool
    ) -> None:
        """As in upstream: a subclass asks for None before it looks elsewhere."""

        class Own(Dockerflow):
            def user_id(self) -> Any:
                found = super().user_id()
                return request.headers.get("X-User") if found is None else found

        if with_hook:
            Own.summary_extra = lambda self: Dockerflow.summary_extra(self)  # type: ignore[method-assign]
        app = Flask(__name__)
        Own(app)
        app.test_client().get("/", headers={"X-User": "ann"})
        app.test_client().get("/")
        assert [line["Fields"]["uid"] for line in lines.summaries] == ["ann", ""]

    def test_user_that_is_not_loaded_is_not_loaded(
        self, app: Flask, login: flask_login.LoginManager, lines: Lines
    ) -> None:
        @login.request_loader
        def load(request: Any) -> Any:
            raise AssertionError("loaded")

        assert app.test_client().get("/").status_code == 200
        assert lines.summary["uid"] == ""

    @pytest.mark.parametrize(
        ("members", "shown"),
        [
            ({"get_id": lambda self: "1"}, ""),
            ({"get_id": lambda self: "1", "is_authenticated": lambda self: True}, "1"),
            ({"get_id": lambda self: "1", "is_authenticated": lambda self: False}, ""),
            ({"get_id": lambda self: "1", "is_authenticated": False}, ""),
            ({"get_id": lambda self: None, "is_authenticated": True}, ""),
            ({"get_id": lambda self: 1 / 0, "is_authenticated": True}, ""),
            ({"is_authenticated": property(lambda self: 1 / 0)}, ""),
        ],
    )
    def test_user_of_any_kind_does_no_harm(
        self, app: Flask, login: Any, lines: Lines, members: dict[str, Any], shown: str
    ) -> None:
        with app.test_request_context("/x"):
            app.preprocess_request()
            g._login_user = type("Odd", (), members)()
            app.process_response(Response(""))
        assert lines.summary["uid"] == shown

    def test_user_that_a_test_puts_in_place_is_taken(
        self, app: Flask, lines: Lines, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        user = User()
        user.id = 7
        monkeypatch.setattr(module, "current_user", user)
        app.test_client().get("/")
        monkeypatch.setattr(module, "has_flask_login", False)
        app.test_client().get("/")
        assert [line["Fields"]["uid"] for line in lines.summaries] == ["7", ""]


class TestExtension:
    def test_extension_serves_several_applications(self, lines: Lines, tmp_path: Path) -> None:
        extension = Dockerflow()
        apps = []
        for name in "ab":
            folder = tmp_path / name / "package"
            folder.mkdir(parents=True)
            (tmp_path / name / "version.json").write_text(f'{{"version": "{name}"}}')
            app = Flask(name, root_path=str(folder))
            app.config["DOCKERFLOW_REQUEST_ID_HEADER_NAME"] = f"x-{name}"
            extension.init_app(app)
            assert app.extensions["dockerflow"] is extension
            apps.append(app)
        for name, app in zip("ab", apps, strict=True):
            answer = WSGIDriver(app).get("/__version__", headers=[(f"x-{name}", name)])
            assert answer.body == f'{{"version":"{name}"}}'.encode()
        assert [line["Fields"]["rid"] for line in lines.summaries] == ["a", "b"]

    def test_extension_works_when_mounted(self, lines: Lines, tmp_path: Path) -> None:
        outer = application(tmp_path)
        mounted = application(tmp_path)
        outer.wsgi_app = DispatcherMiddleware(outer.wsgi_app, {"/api": mounted})  # type: ignore[method-assign, arg-type]
        driver = WSGIDriver(outer)
        assert driver.get("/api/where").body == b"/where"
        assert driver.get("/api/__lbheartbeat__").status == 200
        assert len(lines.summaries) == 2

    def test_extension_says_at_the_start_what_is_wrong_with_a_setting(self) -> None:
        app = Flask("x")
        app.config["DOCKERFLOW_HEARTBEAT_DETAILS"] = "sometimes"
        with pytest.raises(SettingsError, match="DOCKERFLOW_HEARTBEAT_DETAILS"):
            Dockerflow(app)

    def test_extension_follows_a_configuration_that_changes(self, app: Flask, lines: Lines) -> None:
        client = app.test_client()
        client.get("/?a=b")
        app.config["DOCKERFLOW_SUMMARY_LOG_QUERYSTRING"] = True
        client.get("/?a=b")
        assert [line["Fields"].get("querystring") for line in lines.summaries] == [None, "a=b"]

    def test_extension_has_a_policy_of_its_own(self, lines: Lines) -> None:
        app = Flask("x")
        Dockerflow(app, request_id=RequestIdPolicy(generator=lambda: "mine"))
        app.test_client().get("/")
        assert lines.summary["rid"] == "mine"

    def test_extension_has_urls(self, app: Flask) -> None:
        with app.test_request_context():
            urls = [app.url_for(f"dockerflow.{name}") for name in ("version", "error")]
        assert urls == ["/__version__", "/__error__"]

    def test_extension_has_a_version_callback(self, app: Flask, dockerflow: Dockerflow) -> None:
        @dockerflow.version_callback
        def version(root: str) -> dict[str, str]:
            return {"root": root}

        assert app.test_client().get("/__version__").json == {"root": dockerflow.version_path}
        # As tests do it.
        dockerflow._version_callback = lambda root: None
        assert app.test_client().get("/__version__").status_code == 404

    @pytest.mark.parametrize("module", ["dockerflow", "dockerflow.flask.app"])
    def test_extension_reads_the_version_that_a_test_has_put_in_place_before_it(
        self, module: str
    ) -> None:
        app = Flask(__name__)
        with mock.patch(f"{module}.version.get_version", return_value={"version": "1"}):
            Dockerflow(app)
        assert app.test_client().get("/__version__").json == {"version": "1"}

    def test_extension_has_a_version_callback_that_fails(
        self, app: Flask, dockerflow: Dockerflow
    ) -> None:
        dockerflow._version_callback = lambda root: 1 / 0
        response = app.test_client().get("/__version__")
        # As from a view: only a malformed version.json is answered with what is wrong.
        assert response.status_code == 500
        assert response.content_type.startswith("text/html")
        app.testing = True
        with pytest.raises(ZeroDivisionError):
            app.test_client().get("/__version__")

    def test_extension_gives_the_configuration_to_checks(self, app: Flask) -> None:
        app.config["LIMIT"] = 7

        @checks.register
        def limited(config: Any) -> list[Any]:
            return [checks.Info(str(config["LIMIT"]), id="x.I1")]

        payload = app.test_client().get("/__heartbeat__").json
        assert payload is not None
        assert payload["details"]["limited"]["messages"] == {"x.I1": "7"}

    def test_extension_silences_checks(self, tmp_path: Path) -> None:
        app = Flask("x")
        Dockerflow(app, silenced_checks=["x.E1"])
        checks.register(lambda: [checks.Error("no", id="x.E1")], name="one")
        assert app.test_client().get("/__heartbeat__").status_code == 200

    def test_extension_silences_checks_that_a_text_names_as_upstream_does(self) -> None:
        app = Flask("x")
        Dockerflow(app, silenced_checks="x.E1")
        checks.register(lambda: [checks.Error("no", id="x.E1")], name="one")
        assert app.test_client().get("/__heartbeat__").status_code == 200

    def test_extension_registers_the_checks_of_what_it_is_given(self) -> None:
        Dockerflow(db=1, redis=2, migrate=3)
        assert set(checks.get_checks()) == {
            "check_database_connected", "check_redis_connected", "check_migrations_applied",
        }  # fmt: skip

    def test_extension_sends_signals(self, app: Flask) -> None:
        got: list[tuple[str, int]] = []

        def passed(sender: Any, level: int) -> None:
            got.append(("passed", level))

        def failed(sender: Any, level: int) -> None:
            got.append(("failed", level))
            raise RuntimeError("a receiver")

        with heartbeat_passed.connected_to(passed), heartbeat_failed.connected_to(failed):
            assert app.test_client().get("/__heartbeat__").status_code == 200
            checks.register(lambda: [checks.Critical("no", id="x.E1")], name="one")
            assert app.test_client().get("/__heartbeat__").status_code == 500
        assert got == [("passed", 0), ("failed", 50)]

    def test_extension_sends_no_signal_of_checks_without_an_outcome(
        self, app: Flask, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        got: list[int] = []

        def failed(sender: Any, level: int) -> None:
            got.append(level)

        checks.register(list, name="one")
        monkeypatch.setattr(Slots, "_acquire", lambda *_: None)
        with heartbeat_failed.connected_to(failed):
            assert app.test_client().get("/__heartbeat__").status_code == 503
        assert got == []

    def test_extension_keeps_its_deprecated_names(self, dockerflow: Dockerflow) -> None:
        with pytest.warns(
            DeprecationWarning, match=r"^`dockerflow.checks` is .*get_checks\(\)` instead"
        ):
            assert dockerflow.checks == {}
        with pytest.warns(
            DeprecationWarning, match=r"^`dockerflow.check\(\)` is .*register\(\)` instead"
        ):
            dockerflow.check(name="one")(list)
        with pytest.warns(
            DeprecationWarning, match=r"^`dockerflow.init_check\(\)`.*_partial\(\)` instead"
        ):
            dockerflow.init_check(check_of, 1)
        assert set(checks.get_checks()) == {"one", "check_of"}

    def test_extension_logs_with_the_logger_that_it_has(
        self, app: Flask, dockerflow: Dockerflow
    ) -> None:
        capture = Capture()
        dockerflow.summary_logger = capture.logger
        app.test_client().get("/")
        assert capture.fields[0]["code"] == 200


def report_and_answer(app: Flask) -> None:
    """Report each HTTP exception as unhandled and answer it, as Flask-RESTX and -RESTful do."""

    @app.errorhandler(HTTPException)
    def answer(error: HTTPException) -> tuple[str, int]:
        got_request_exception.send(app, exception=error)
        return "answered", error.code or 500

    @app.get("/abort/<int:status>")
    def refuse(status: int) -> str:
        abort(status)


class TestReportedAnswers:
    @pytest.mark.parametrize("propagates", [None, False, True])
    @pytest.mark.parametrize("status", [400, 404, 409])
    def test_an_http_exception_that_is_reported_and_answered_with_its_status_is_no_error(
        self, app: Flask, lines: Lines, status: int, propagates: bool | None
    ) -> None:
        app.config["PROPAGATE_EXCEPTIONS"] = propagates
        report_and_answer(app)
        assert app.test_client().get(f"/abort/{status}").status_code == status
        assert (lines.summary["code"], lines.summary["errno"]) == (status, 0)
        assert "error" not in lines.summary

    @pytest.mark.parametrize("propagates", [False, True])
    @pytest.mark.parametrize(("status", "errno"), [(409, 0), (502, 500)])
    def test_an_exception_that_an_extension_reports_and_answers_is_an_error_from_500_on(
        self, app: Flask, lines: Lines, status: int, errno: int, propagates: bool
    ) -> None:
        app.config["PROPAGATE_EXCEPTIONS"] = propagates

        # As Flask-RESTful does for the exceptions that its argument ``errors`` names.
        @app.errorhandler(LookupError)
        def answer(error: LookupError) -> tuple[str, int]:
            got_request_exception.send(app, exception=error)
            return "answered", status

        @app.get("/lookup")
        def fail() -> str:
            raise LookupError("taken")

        assert app.test_client().get("/lookup").status_code == status
        assert (lines.summary["code"], lines.summary["errno"]) == (status, errno)
        assert lines.summary.get("error") == ("LookupError('taken')" if errno else None)

    def test_an_exception_that_flask_reports_is_an_error_whatever_its_status(
        self, app: Flask, lines: Lines
    ) -> None:
        @app.errorhandler(500)
        def answer(error: Exception) -> tuple[str, int]:
            return "sorry", 404

        assert app.test_client().get("/boom").status_code == 404
        assert (lines.summary["code"], lines.summary["errno"]) == (404, 500)

    def test_an_http_exception_of_503_that_is_reported_is_an_error(
        self, app: Flask, lines: Lines
    ) -> None:
        report_and_answer(app)
        assert app.test_client().get("/abort/503").status_code == 503
        assert (lines.summary["code"], lines.summary["errno"]) == (503, 500)

    def test_an_http_exception_that_flask_answers_with_500_is_an_error(
        self, app: Flask, lines: Lines
    ) -> None:
        app.config["TRAP_HTTP_EXCEPTIONS"] = True

        @app.get("/abort")
        def refuse() -> str:
            abort(404)

        assert app.test_client().get("/abort").status_code == 500
        assert (lines.summary["code"], lines.summary["errno"]) == (500, 500)

    def test_an_exception_that_flask_reports_behind_an_extension_is_an_error(
        self, app: Flask, lines: Lines
    ) -> None:
        # As a handler of Flask-RESTX does that raises the exception again.
        @app.errorhandler(LookupError)
        def report(error: LookupError) -> str:
            got_request_exception.send(app, exception=error)
            raise error

        @app.errorhandler(500)
        def answer(error: Exception) -> str:
            return "sorry"

        @app.get("/lookup")
        def fail() -> str:
            raise LookupError("taken")

        assert app.test_client().get("/lookup").status_code == 200
        assert (lines.summary["code"], lines.summary["errno"]) == (200, 500)

    def test_an_answer_of_an_application_that_an_error_handler_calls_is_its_own(
        self, app: Flask, lines: Lines
    ) -> None:
        other = Flask("other")
        Dockerflow(other)
        report_and_answer(other)

        @app.errorhandler(500)
        def answer(error: Exception) -> tuple[str, int]:
            return other.test_client().get("/abort/404").get_data(as_text=True), 500

        assert app.test_client().get("/boom").get_data() == b"answered"
        inner, outer = (line["Fields"] for line in lines.summaries)
        assert (inner["code"], inner["errno"]) == (404, 0)
        assert (outer["code"], outer["errno"]) == (500, 500)

    @pytest.mark.parametrize("propagates", [False, True])
    def test_an_exception_behind_one_that_was_answered_is_an_error(
        self, app: Flask, lines: Lines, propagates: bool
    ) -> None:
        app.config["PROPAGATE_EXCEPTIONS"] = propagates
        report_and_answer(app)

        @app.after_request
        def fail(response: Response) -> Response:
            raise LookupError("too late")

        with pytest.raises(LookupError) if propagates else contextlib.nullcontext():
            app.test_client().get("/abort/404").close()
        assert (lines.summary["code"], lines.summary["errno"]) == (500, 500)
        assert lines.summary["error"]


def check_of(checked: Any) -> list[Any]:
    return []


class TestSummaryExtra:
    def test_summary_extra_of_a_subclass_is_what_is_logged(self, lines: Lines) -> None:
        class Mine(Dockerflow):
            def summary_extra(self) -> dict[str, Any]:
                fields = super().summary_extra()
                del fields["agent"]
                return {**fields, "name": "x", "user": "ann"}

        app = Flask("x")
        Mine(app)

        @app.route("/added")
        def added() -> str:
            add_fields(more=1)
            return ""

        app.test_client().get("/added")
        summary = lines.summary
        assert (summary["user"], summary["extra.name"], summary["more"]) == ("ann", "x", 1)
        assert (summary["code"], summary["errno"], "t" in summary) == (200, 0, True)
        assert "agent" not in summary

    def test_summary_extra_that_fails_leaves_the_summary(self, lines: Lines) -> None:
        class Mine(Dockerflow):
            def summary_extra(self) -> dict[str, Any]:
                raise RuntimeError

        app = Flask("x")
        Mine(app)
        assert app.test_client().get("/x").status_code == 404
        assert lines.summary["code"] == 404
        (logged,) = lines.of("dockerflow.flask")
        assert logged["msg"] == (
            "A hook for the fields of a request's summary raised; its fields are left out"
        )


class TestUrlMap:
    def test_url_map_has_upstreams_endpoints(self, app: Flask) -> None:
        rules = {rule.rule: rule.endpoint for rule in app.url_map.iter_rules()}
        for name in ("version", "heartbeat", "lbheartbeat", "error"):
            assert rules[f"/__{name}__"] == f"dockerflow.{name}"

    def test_url_map_lists_the_methods_that_are_answered(self, app: Flask) -> None:
        for rule in app.url_map.iter_rules():
            if rule.endpoint.startswith("dockerflow."):
                assert sorted(rule.methods or ()) == ["GET", "HEAD"]

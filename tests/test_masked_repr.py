"""The text of a repr without the values behind the names of credentials."""

from __future__ import annotations

from typing import Any

import hostile
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mozlog_py._redaction.masked_repr import MaskedRepr, mask_repr, secret_attribute_texts
from mozlog_py._values.credential_names import is_credential


def masked(text: str) -> str | None:
    return mask_repr(text, is_credential, "[redacted]")


class TestMask:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("Login(user='ann', password='tulip')", "Login(user='ann', password='[redacted]')"),
            ("Login(password='it\\'s \"x\"', n=1)", "Login(password='[redacted]', n=1)"),
            ('Login(password="it\'s", n=1)', "Login(password='[redacted]', n=1)"),
            ("Login(password=b'tulip')", "Login(password='[redacted]')"),
            ("Login(password=None, n=1)", "Login(password=None, n=1)"),
            ("Login(pass=7, token=-1.5e3)", "Login(pass='[redacted]', token='[redacted]')"),
            ("Login(secrets=['a', ')'], n=1)", "Login(secrets='[redacted]', n=1)"),
            ("Login(token=Token(of='a)', n=[1]), n=1)", "Login(token='[redacted]', n=1)"),
            ("<Login token=<Token at 0x1> n=1>", "<Login token='[redacted]' n=1>"),
            ("<Login token=7 n=1>", "<Login token='[redacted]' n=1>"),
            ("C({'password': 'tulip', 'n': 1})", "C({'password': '[redacted]', 'n': 1})"),
            ('C({"password": {"a": 1}})', "C({\"password\": '[redacted]'})"),
            ("C({b'cookie': b'a=b'})", "C({b'cookie': '[redacted]'})"),
            ("C([('cookie', 'a=b'), ('n', 1)])", "C([('cookie', '[redacted]'), ('n', 1)])"),
            ("C([(b'cookie', b'a=b')])", "C([(b'cookie', '[redacted]')])"),
            ("C(['cookie', 'a=b'])", "C(['cookie', '[redacted]'])"),
            ("C(names=['x', 'cookie', 'a'])", "C(names=['x', 'cookie', 'a'])"),
            ("<Request 'https://a/?token=1&sid=2'>", "<Request 'https://a/?token=1&sid=2'>"),
            ("Login(user='ann', has_token=True)", "Login(user='ann', has_token='[redacted]')"),
            ("password == 'x'", "password == 'x'"),
            ("Login(user='ann')", "Login(user='ann')"),
            ("", ""),
        ],
    )
    def test_mask_replaces_what_stands_behind_a_name(self, text: str, shown: str) -> None:
        assert masked(text) == shown

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("Login(password='tul... <truncated, 9 characters>", "Login(password='[redacted]'"),
            ("Login(password=['a', 'b... <truncated, 9>", "Login(password='[redacted]'"),
            ("Login(password=", "Login(password='[redacted]'"),
            ("Login(password=[(], n='x')", "Login(password='[redacted]'"),
        ],
    )
    def test_mask_replaces_the_rest_of_a_text_that_ends_within_a_value(
        self, text: str, shown: str
    ) -> None:
        assert masked(text) == shown

    @pytest.mark.parametrize(
        "text",
        [
            "Login(password=tulip)",
            "Login(password='a'b', n=1)",
            "Login(password=12ab)",
            "Login(password=1 2)",
            "Login(token=Kind.OPEN)",
        ],
    )
    def test_mask_gives_up_where_a_value_has_no_clear_end(self, text: str) -> None:
        assert masked(text) is None

    @given(
        st.recursive(
            st.text() | st.integers() | st.binary() | st.floats() | st.booleans(),
            lambda inner: (
                st.lists(inner, max_size=3) | st.tuples(inner) | st.dictionaries(st.text(), inner)
            ),
        )
    )
    def test_mask_hides_any_value_that_python_shows(self, value: Any) -> None:
        for before, after in [("L(password=", ", n=1)"), ("L({'token': ", ", 'n': 1})"),
                              ("L([('cookie', ", "), ('n', 1)])")]:  # fmt: skip
            assert masked(f"{before}{value!r}{after}") == f"{before}'[redacted]'{after}"

    @given(st.text(alphabet="pas=word:'\"\\,( )[]{}<>tokenb1", max_size=200))
    def test_mask_never_raises(self, text: str) -> None:
        shown = masked(text)
        assert shown is None or isinstance(shown, str)

    def test_mask_is_not_slow_where_quotes_are_escaped(self) -> None:
        # Each of them may begin a name; a name is short.
        assert masked("\\'" * 4096) == "\\'" * 4096


class TestSecretTexts:
    def test_secret_texts_are_those_of_attributes_and_slots(self) -> None:
        class Base:
            __slots__ = ("api_key", "unset_token")

        class Login(Base):
            def __init__(self) -> None:
                self.password, self.api_key, self.n, self.pin_secret = "tulip", b"k3y", 1, 4711
                self.is_pass = True
                self.token = None

        assert sorted(secret_attribute_texts(Login(), is_credential)) == ["4711", "k3y", "tulip"]

    def test_secret_texts_are_those_of_objects_within_as_well_where_they_are_long(self) -> None:
        class Login:
            def __init__(self, **members: Any) -> None:
                self.__dict__.update(members)

        inner = [{"deep": Login(password="tulip", pwd="x")}]
        assert secret_attribute_texts(Login(inner=inner, pwd="y"), is_credential) == ["y", "tulip"]

    def test_secret_texts_are_none_of_what_has_no_attributes(self) -> None:
        for value in (object(), 1, hostile.RaisingClass(), hostile.slotted_with_a_hole()):
            assert secret_attribute_texts(value, is_credential) == []

    def test_secret_texts_of_an_endless_graph_have_an_end(self) -> None:
        loop: list[Any] = []
        loop += [loop, {"loop": loop}]
        assert secret_attribute_texts(loop, is_credential) == []


def test_a_masked_repr_has_no_quotes_in_a_container() -> None:
    shown = MaskedRepr("<User [redacted]>")
    assert f"{[shown]} {shown}" == "[<User [redacted]>] <User [redacted]>"

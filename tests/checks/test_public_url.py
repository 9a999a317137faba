"""URLs of repositories and builds, without credentials."""

import pytest
from attack import secrets
from hypothesis import given
from hypothesis import strategies as st

from dockerflow._request.public_url import public_url, public_version


class TestPublicURL:
    @pytest.mark.parametrize(
        ("url", "public"),
        [
            ("https://x:tulip@host.example/e/shop.git", "https://host.example/e/shop.git"),
            ("https://tulip@host.example/e", "https://host.example/e"),
            ("https://x:tu/lip@host.example/e", "https://host.example/e"),
            ("https://x:12/34@host.example/e", "https://host.example/e"),
            ("https://x:p@tu/lip@host.example:8443/e", "https://host.example:8443/e"),
            ("https://x:tu'l\"i`p@host/e", "https://host/e"),
            ("https://x:tu?li#p@host/e", "https://host/e"),
            ("https://x:tu%2Flip@host/e", "https://host/e"),
            ("https://DOM\\x:tulip@host/e", "https://host/e"),
            ("\nhttps://x:tulip@host/e ", "https://host/e"),
            ("ssh://x:tulip@host:2222/e", "ssh://host:2222/e"),
            ("ssh://git:tulip@[::1]:22/e", "ssh://[::1]:22/e"),
            ("ssh://tulip@[fe80::1%eth0]/e", "ssh://[fe80::1%eth0]/e"),
            ("git+https://x:tulip@host/e", "git+https://host/e"),
            ("https::https://x:tulip@host/e", "https::https://host/e"),
            ("x:tulip@host:e/shop", "host:e/shop"),
            ("tulip@host:e/shop", "host:e/shop"),
            ("x:tu/lip@host:e", "host:e"),
            ("[tulip@host:2222]:e/shop", "[host:2222]:e/shop"),
            ("tulip@[::1]:e", "[::1]:e"),
            ("x:tulip@host.example/e", "host.example/e"),
            ("https://host/e?access_token=tulip", "https://host/e?access_token=***"),
            ("https://host/e?ref=x&private_token=tulip", "https://host/e?ref=x&private_token=***"),
            (f"https://host/ghp_{'a1B2' * 9}/e", "https://host/***/e"),
            ("ext::ssh --password tulip x %S e", "ext::ssh --password *** x %S e"),
        ],
    )
    def test_public_url_has_no_credentials(self, url: str, public: str) -> None:
        assert public_url(url) == public

    @pytest.mark.parametrize(
        "url",
        [
            "https://github.com/e/shop.git", "git@github.com:e/shop.git", "ssh://git@host:22/e",
            "[git@host:22]:e", "svn+ssh://svn@host/e", "/srv/git/shop@2", "../shop", "C:\\a\\b@c",
            "file:///srv/a@b", "https://git.example.com:8443/e/shop@v1",
            "https://host.example/@scope/e", "https://host.example/e/tree/x@2?tab=y#z",
            "https://[::1]:8080/e", "ssh://host:22/e", "", "shop", "host.example:e/shop",
        ],
    )  # fmt: skip
    def test_public_url_stays_where_it_has_none(self, url: str) -> None:
        assert public_url(url) == url

    @pytest.mark.parametrize("source", secrets.SOURCES)
    def test_public_url_of_every_form_of_git_has_no_secret(self, source: str) -> None:
        assert "tulip" not in public_url(source.format("zq7tulip"))

    @given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1))
    def test_public_url_has_no_password_whatever_it_consists_of(self, password: str) -> None:
        assert public_url(f"https://x:~{password}~@host.example/e") == "https://host.example/e"

    @given(st.text())
    def test_public_url_never_raises(self, url: str) -> None:
        public_url(url)


class TestPublicVersion:
    def test_changes_source_and_build_alone(self) -> None:
        version = {"source": "https://x:y@h/e", "build": 5, "version": "a:b@c", "more": ["x:y@z"]}
        assert public_version(version) == {**version, "source": "https://h/e"}
        assert version["source"] == "https://x:y@h/e"

    @pytest.mark.parametrize("version", [None, [], "x:y@z:e", 5, {"source": None}])
    def test_public_version_leaves_anything_else(self, version: object) -> None:
        assert public_version(version) is version

"""Which names are those of credentials, by default."""

from pathlib import Path

import pytest

from mozlog_py._values.credential_names import CREDENTIALS, WHOLE_WORDS, is_credential, normal_name
from mozlog_py.redaction import Redact

SECRET = """
password1 DB_PASS new_password2 X-Goog-IAP-JWT-Assertion password pass passwd passphrase pwd
secret secrets credential credentials apikey api_key api_keys sessionid csrftoken jwt assertion
signature passwords passphrases passwds pwds apikeys jwts assertions signatures sessionids
csrftokens cookies authorizations bearers private_keys access_keys accessKey AccessKeyId1AccessKey
authorization Proxy-Authorization HTTP_AUTHORIZATION bearer Cookie HTTP_COOKIE Set-Cookie
privateKey secret_key SECRET_KEY session_key signing-key token X-Auth-Token access_token
refreshToken id_token XSRF-TOKEN X-CSRFToken X-Api-Key apiKey API-KEY clientSecret client_secret2
user.password user[password] password= "password" _password __password__ dbPassword db_password_1
MYSQL_ROOT_PASSWORD PGPASSWORD X-Hub-Signature-256 x-amz-security-token saml_assertion auth auth2
basic_auth userAuth HTTPAuth proxy-auth sid connect.sid phpSid SID otp sms_otp userOTP DBPass
dbPass DB_PASS_2 pass1 user[pass] s3Pass PASS secrets2 tokens_token session_id sessionID
"""

HARMLESS = """
tokens author tokenizer keyboard passport_country compass key keys key1 primary_key cache_keys
sort_key hotkey monkey public_key token_count max_tokens access_tokens total_tokens tokens2
tokenized secretary secretly authority authors oauth OAuth oauth2 XAuth is_authenticated
auth_method side inside sidecar reside consid bypass trespass surpass passes passed passenger
pass_rate passing overpass encompass boarding_pass_no password_hash password_reset_sent
cookie_count cookie_policy signature_valid assertion_count otps jwt_issuer credential_type
api_key_id apikey_name session pwd_changed bearer_format design design2 user name email id rid
status path method agent url host 12 2fa
"""


@pytest.mark.parametrize("name", SECRET.split())
def test_names_of_credentials_are_secret(name: str) -> None:
    assert is_credential(name)
    assert Redact().is_secret(name)
    assert Redact().is_secret(name.encode())


@pytest.mark.parametrize("name", [*HARMLESS.split(), "", "-", "7", "пароль"])
def test_names_that_only_have_such_a_word_in_them_are_not(name: str) -> None:
    assert not is_credential(name)
    assert not Redact().is_secret(name)


@pytest.mark.parametrize("name", sorted(CREDENTIALS))
def test_each_counts_as_the_end_of_a_name_and_in_the_plural_but_for_tokens(name: str) -> None:
    assert all(map(is_credential, [name, name.upper(), f"my_{name}", f"my-{name}_3"]))
    assert not is_credential(f"{name}_of_no_other")
    assert is_credential(f"{name}s") == (name != "token")


@pytest.mark.parametrize("name", sorted(WHOLE_WORDS))
def test_short_ones_count_as_a_whole_last_word_only(name: str) -> None:
    words = [name, name.upper(), f"my_{name}", f"my{name.title()}", f"X-{name.title()}-2"]
    assert all(map(is_credential, words))
    assert not any(map(is_credential, [f"my{name}", f"{name}s", f"{name}_x", f"MY{name}"]))


def test_the_documentation_names_the_short_ones() -> None:
    *names, last = sorted(WHOLE_WORDS)
    page = Path(__file__).parents[1] / "docs" / "redaction-and-sampling.md"
    assert f"`{'`, `'.join(names)}` and `{last}` must be the whole last word" in page.read_text()
    assert f"``{'``, ``'.join(names)}`` or ``{last}``" in str(Redact.__doc__)


def test_what_separates_words_makes_no_difference() -> None:
    assert {normal_name(name) for name in ("apiKey", "API-KEY", "api_key", "api key")} == {"apikey"}


def test_keys_and_patterns_keep_their_meaning() -> None:
    redact = Redact(["iban", "user key"], patterns=["^x-"], defaults=False)
    assert all(map(redact.is_secret, ["IBAN", "i-ban", "userKey", "X-Shop", "extra.iban_2"]))
    assert not any(map(redact.is_secret, ["iban2", "my_iban", "ibans", "password", "pass", "X_y"]))

"""Tokens: only what our own keys signed, for us, and not over; whatever else comes is unauthorized."""

from __future__ import annotations

import base64
import dataclasses
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tasks.access.tokens import TokenVerifier
from tasks.errors import SettingsError, Unauthorized
from tasks.settings import load_settings

SECRET = "s" * 32
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = (
    RSA_KEY.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)
SETTINGS = load_settings(
    {
        "DATABASE_URL": "postgresql://u@127.0.0.1/db",
        "REDIS_URL": "redis://127.0.0.1/0",
        "JWT_SECRET": SECRET,
        "JWT_PUBLIC_KEY": PEM,
        "JWT_ISSUER": "https://login.example",
    }
)


@pytest.fixture
def tokens() -> TokenVerifier:
    return TokenVerifier(SETTINGS)


def claims(**more: Any) -> dict[str, Any]:
    made = {
        "iss": "https://login.example",
        "aud": "omninode-bridge",
        "sub": "billing",
        "exp": time.time() + 60,
        "scope": "hooks:write hooks:read unheard:of",
    }
    return {name: value for name, value in {**made, **more}.items() if value is not None}


def signed(key: Any = SECRET, algorithm: str = "HS256", **more: Any) -> str:
    return jwt.encode(claims(**more), key, algorithm)


@pytest.mark.parametrize(("key", "algorithm"), [(SECRET, "HS256"), (RSA_KEY, "RS256")])
def test_a_good_token_speaks_for_its_subject(tokens: TokenVerifier, key: Any, algorithm: str) -> None:
    principal = tokens.verify(signed(key, algorithm))
    assert principal.name == "jwt:billing"
    assert principal.scopes == {"hooks:write", "hooks:read"}
    assert tokens.verify(signed(key, algorithm, scope=None, scopes=["admin", 7])).scopes == {"admin"}
    assert tokens.verify(signed(key, algorithm)).id == principal.id
    assert tokens.verify(signed(key, algorithm, sub="other")).id != principal.id


def test_clocks_may_differ_by_half_a_minute(tokens: TokenVerifier) -> None:
    now = time.time()
    assert tokens.verify(signed(exp=now - 20, nbf=now + 20, iat=now + 20))
    for late in ({"exp": now - 40}, {"nbf": now + 40}, {"iat": now + 40}):
        with pytest.raises(Unauthorized):
            tokens.verify(signed(**late))


def part(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


WRONG = {
    "another secret": signed("t" * 32),
    "another key": signed(rsa.generate_private_key(public_exponent=65537, key_size=2048), "RS256"),
    "another issuer": signed(iss="https://other.example"),
    "no issuer": signed(iss=None),
    "for others": signed(aud="another-service"),
    "for nobody": signed(aud=None),
    "without an end": signed(exp=None),
    "an end that is no number": signed(exp="soon"),
    "an end beyond numbers": signed(exp=float("inf")),
    "without a subject": signed(sub=None),
    "an empty subject": signed(sub=" "),
    "an algorithm that is not ours": signed(algorithm="HS512"),
    "not signed": jwt.encode(claims(), "", "none"),
    "signed with the public key as a secret": ".".join(
        [part(b'{"alg":"HS256","typ":"JWT"}'), part(b"{}"), part(b"x")]
    ),
    "a list for an algorithm": ".".join([part(b'{"alg":["HS256"]}'), part(b"{}"), part(b"x")]),
    "a header nested deep": ".".join([part(b"[" * 4000), part(b"{}"), part(b"x")]),
    "a header of bad UTF-8": ".".join([part(b"\xff"), part(b"{}"), part(b"x")]),
    "empty": "..",
    "not base64": "\xff.\xff.\xff",
}


@pytest.mark.parametrize("token", WRONG.values(), ids=WRONG)
def test_any_other_token_is_unauthorized(tokens: TokenVerifier, token: str) -> None:
    assert tokens.is_for(token)
    with pytest.raises(Unauthorized):
        tokens.verify(token)


def test_a_change_of_one_letter_breaks_it(tokens: TokenVerifier) -> None:
    head, body, signature = signed().split(".")
    for changed in (f"{head}.{body[:-2]}AA.{signature}", f"{head}.{body}.{'A' * len(signature)}"):
        with pytest.raises(Unauthorized):
            tokens.verify(changed)


def test_without_keys_a_token_is_no_credential() -> None:
    off = TokenVerifier(dataclasses.replace(SETTINGS, jwt_secret=None, jwt_public_key=None))
    assert not off.is_for(signed())
    only_secret = TokenVerifier(dataclasses.replace(SETTINGS, jwt_public_key=None))
    with pytest.raises(Unauthorized):
        only_secret.verify(signed(RSA_KEY, "RS256"))


def test_keys_that_are_none_are_told_at_the_start() -> None:
    with pytest.raises(SettingsError, match="JWT_PUBLIC_KEY"):
        TokenVerifier(dataclasses.replace(SETTINGS, jwt_public_key="-----BEGIN PUBLIC KEY-----"))
    urls = {"DATABASE_URL": "postgresql:///", "REDIS_URL": "redis:///"}
    with pytest.raises(SettingsError) as caught:
        load_settings({**urls, "JWT_SECRET": "short", "JWT_PUBLIC_KEY": "not a key"})
    assert [error.pointer for error in caught.value.errors] == ["JWT_SECRET", "JWT_PUBLIC_KEY"]

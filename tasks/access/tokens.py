"""JSON Web Tokens (RFC 7519) as an alternative to API keys: signed elsewhere, checked here, stored nowhere.

HS256 with JWT_SECRET, RS256 with JWT_PUBLIC_KEY, and no other algorithm, whatever a token's header says (RFC 8725,
section 3.1). A token must name a subject, an end and our audience; its scopes are those of the claim ``scope``
(space-separated, RFC 8693, section 4.2) or of the list ``scopes``. It can't be revoked, so its end should be near.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import jwt
from jwt.algorithms import RSAAlgorithm

from tasks.access.model import SCOPES, Principal
from tasks.errors import FieldError, SettingsError, Unauthorized
from tasks.settings import Settings

_NAME_LIMIT = 200
# PyJWT checks a token's parts with int() and the like; a header nested too deep ends in RecursionError.
_WRONG = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)


class TokenVerifier:
    """Checks tokens against the keys of the settings."""

    def __init__(self, settings: Settings) -> None:
        """Reads the keys.

        Raises:
            SettingsError: JWT_PUBLIC_KEY is no RSA key.
        """
        self._keys: dict[str, Any] = {}
        if settings.jwt_secret:
            self._keys["HS256"] = settings.jwt_secret
        if settings.jwt_public_key:
            self._keys["RS256"] = _rsa_key(settings.jwt_public_key)
        self._issuer = settings.jwt_issuer
        self._audience = settings.jwt_audience
        self._leeway_s = settings.jwt_leeway_s
        self._required = ["exp", "sub", "aud", *(["iss"] if self._issuer else [])]

    def is_for(self, credential: str) -> bool:
        """Whether ``credential`` is to be taken for a token: it has a token's three parts, and tokens are in use."""
        return bool(self._keys) and credential.count(".") == 2

    def verify(self, token: str) -> Principal:
        """Who the token speaks for.

        Raises:
            Unauthorized: it is malformed, not signed with one of our keys, over, not for us, or names no subject.
        """
        try:
            algorithm = str(jwt.get_unverified_header(token).get("alg"))
            claims = jwt.decode(
                token,
                self._keys.get(algorithm, ""),
                algorithms=[algorithm] if algorithm in self._keys else [],
                audience=self._audience,
                issuer=self._issuer,
                leeway=self._leeway_s,
                options={"require": self._required},
            )
        except jwt.ExpiredSignatureError:
            raise Unauthorized("The token has expired.") from None
        except _WRONG:
            raise Unauthorized("The token is not valid.") from None
        subject = str(claims["sub"])
        if not subject.strip() or not subject.isprintable():
            raise Unauthorized("The token names no subject.")
        issuer = claims.get("iss") or ""
        identity = uuid5(NAMESPACE_URL, f"{issuer}#{subject}")
        return Principal(identity, f"jwt:{subject}"[:_NAME_LIMIT], _scopes(claims))


def _rsa_key(pem: str) -> Any:
    try:
        return RSAAlgorithm(RSAAlgorithm.SHA256).prepare_key(pem)
    except (jwt.PyJWTError, ValueError, TypeError):
        mistake = FieldError("JWT_PUBLIC_KEY", "must be an RSA public key in PEM")
        raise SettingsError("The settings in the environment are not usable:", errors=[mistake]) from None


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """The scopes that a token names and that there are."""
    scope, scopes = claims.get("scope"), claims.get("scopes")
    named = scope.split() if isinstance(scope, str) else []
    named += [each for each in scopes if isinstance(each, str)] if isinstance(scopes, list) else []
    return frozenset(named) & frozenset(SCOPES)

"""Settings that are more than one word."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest

from tasks import setting_forms
from tasks.errors import SettingsError
from tasks.settings import load_settings

GOOD = {"DATABASE_URL": "postgresql://u@127.0.0.1/db", "REDIS_URL": "redis://127.0.0.1:6379/0"}


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (setting_forms.networks, "10.1.0.0/16, ::1", (ip_network("10.1.0.0/16"), ip_network("::1/128"))),
        (setting_forms.hosts, "API.shop.example:8443, *.crm.example,", ("api.shop.example:8443", "*.crm.example")),
        (setting_forms.hosts, "[::1]:80", ("[::1]:80",)),
        (
            setting_forms.secrets_to_hosts,
            "STRIPE=api.stripe.com,STRIPE=*.stripe.com",
            (("STRIPE", "api.stripe.com"), ("STRIPE", "*.stripe.com")),
        ),
        (setting_forms.connections, "shop=SHOP_URL, crm = CRM_URL", (("shop", "SHOP_URL"), ("crm", "CRM_URL"))),
        (setting_forms.rates, "http=1/second, ai=9 per 5 minutes", (("http", "1/second"), ("ai", "9 per 5 minutes"))),
        (setting_forms.rates, "", ()),
    ],
)  # fmt: skip
def test_forms_are_read(read: Callable[[str], Any], text: str, value: Any) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    ("read", "text", "says"),
    [
        (setting_forms.networks, "10.1.0.1/16", "10.1.0.0/16"),
        (setting_forms.hosts, "https://shop.example", "no host"),
        (setting_forms.secrets_to_hosts, "STRIPE", "not a pair"),
        (setting_forms.secrets_to_hosts, "stripe=api.stripe.com", "name of a secret"),
        (setting_forms.connections, "shop=postgresql://u:p@h/db", "name of a secret"),
        (setting_forms.connections, "shop=A,shop=B", "twice"),
        (setting_forms.rates, "http=fast", "no rate"),
        (setting_forms.rates, "http=0/second", "no rate"),
    ],
)
def test_what_has_not_the_form_is_told(read: Callable[[str], Any], text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read(text)


def test_all_of_them_are_told_at_once_by_variable() -> None:
    wrong = {
        "WORKFLOW_HTTP_ALLOW_PRIVATE": "home",
        "WORKFLOW_HTTP_SECRETS": "x",
        "WORKFLOW_SQL_CONNECTIONS": "x",
        "WORKFLOW_RATE_LIMITS": "http=often",
    }
    with pytest.raises(SettingsError) as caught:
        load_settings({**GOOD, **wrong})
    assert {error.pointer for error in caught.value.errors} == set(wrong)

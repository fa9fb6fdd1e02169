"""compose.yaml, the Dockerfile, the entrypoint and the health check agree with each other and with the settings."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.settings import Settings

DOCKER = Path(__file__).resolve().parents[3] / "docker"
SERVERS = {"postgres", "redis", "redpanda"}
ONE_SHOT = {"migrate"}
# What libraries read, and Compose and the entrypoint themselves; everything else must be a setting.
NOT_SETTINGS = {
    "WEB_CONCURRENCY",
    "FLOWER_BASIC_AUTH",
    "OMNINODE_IMAGE",
    "POSTGRES_PASSWORD",
    "REDIS_PASSWORD",
    "WORKER_CONCURRENCY",
    *(f"{name}_PORT" for name in ("WEB", "POSTGRES", "KAFKA", "FLOWER_HOST")),
}


def written(name: str) -> str:
    return (DOCKER / name).read_text()


COMPOSE: dict[str, Any] = yaml.safe_load(written("compose.yaml"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted(SERVICES.keys() - SERVERS)
SETTINGS = {item.name.upper() for item in fields(Settings)}
SECRETS = {item.name.upper() for item in fields(Settings) if item.metadata.get("secret")}


def roles_of_the_entrypoint() -> set[str]:
    labels = re.findall(r"^([a-z-]+)\)$", written("entrypoint.sh"), re.MULTILINE)
    return set(labels)


def variables(text: str) -> set[str]:
    return set(re.findall(r"\$\{([A-Z_]+)", text))


def test_there_is_a_service_for_each_part_of_the_system() -> None:
    assert set(SERVICES) == SERVERS | {"migrate", "web", "worker", "lab-worker", "bridge-worker", "beat", "flower"}


@pytest.mark.parametrize("name", OURS)
def test_our_services_run_the_role_of_their_name(name: str) -> None:
    assert SERVICES[name]["command"][0] == name
    assert name in roles_of_the_entrypoint()


def test_all_our_services_use_one_image() -> None:
    assert len({SERVICES[name]["image"] for name in OURS}) == 1


@pytest.mark.parametrize("name", OURS)
def test_what_our_services_are_told_are_settings(name: str) -> None:
    given = set(SERVICES[name]["environment"])
    assert given <= SETTINGS
    assert {"DATABASE_URL", "REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS"} <= given


def test_no_broker_of_compose_is_ephemeral() -> None:
    assert {SERVICES[name]["environment"]["KAFKA_EPHEMERAL"] for name in OURS} == {"false"}


def test_the_variables_of_compose_are_settings_or_known() -> None:
    assert variables(written("compose.yaml")) <= SETTINGS | NOT_SETTINGS


def test_the_example_names_settings_or_what_is_known() -> None:
    named = set(re.findall(r"^#?([A-Z_]+)=", written(".env.example"), re.MULTILINE))
    assert named <= SETTINGS | NOT_SETTINGS
    assert {"POSTGRES_PASSWORD", "REDIS_PASSWORD"} <= named


def test_the_example_has_no_password_and_compose_insists_on_one() -> None:
    assert re.findall(r"^([A-Z]+)_PASSWORD=(.*)$", written(".env.example"), re.MULTILINE) == [
        ("POSTGRES", ""),
        ("REDIS", ""),
    ]
    text = written("compose.yaml")
    assert not re.search(r"\$\{(POSTGRES|REDIS)_PASSWORD(?!:\?)", text)


def test_every_port_is_bound_to_loopback() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(isinstance(port, str) and port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - ONE_SHOT))
def test_every_service_that_stays_is_checked_restarted_and_limited(name: str) -> None:
    service = SERVICES[name]
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert service["restart"] == "unless-stopped"
    assert service["deploy"]["resources"]["limits"]["memory"]


@pytest.mark.parametrize("name", sorted(set(OURS) - ONE_SHOT))
def test_our_services_wait_for_the_schema_and_for_redis(name: str) -> None:
    waits = SERVICES[name]["depends_on"]
    assert waits["migrate"]["condition"] == "service_completed_successfully"
    assert waits["redis"]["condition"] == "service_healthy"
    assert SERVICES["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"


def test_the_health_check_knows_every_role_that_stays() -> None:
    known = set(re.findall(r'^    "([a-z-]+)":', written("healthcheck.py"), re.MULTILINE))
    assert known == set(OURS) - ONE_SHOT
    remembered = re.findall(r"^([a-z-]+)\)\n(?:    #.*\n)*    remember$", written("entrypoint.sh"), re.MULTILINE)
    assert set(remembered) == known


def test_redis_neither_evicts_nor_forgets() -> None:
    words = " ".join(SERVICES["redis"]["command"])
    assert "--maxmemory-policy noeviction" in words
    assert "--appendonly yes" in words


def test_data_of_every_server_is_in_a_named_volume() -> None:
    for name in SERVERS:
        volumes = [volume.split(":")[0] for volume in SERVICES[name]["volumes"]]
        assert volumes == [name]
        assert name in COMPOSE["volumes"]


def test_the_image_runs_as_nobody_special_and_holds_no_settings() -> None:
    runtime = written("Dockerfile").split(" AS runtime")[1]
    assert re.search(r"^USER 10001:10001$", runtime, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK ", runtime, re.MULTILINE)
    assert not any(f"{name}=" in runtime for name in SETTINGS | SECRETS)


def test_only_what_the_dockerfile_copies_goes_to_the_builder() -> None:
    copied = re.findall(r"^COPY (?!--from)(?:--chmod=\d+ )?(.+) \S+$", written("Dockerfile"), re.MULTILINE)
    allowed = re.findall(r"^!(\S+)$", written("Dockerfile.dockerignore"), re.MULTILINE)
    for path in " ".join(copied).split():
        assert any(path == entry or path.startswith(f"{entry}/") for entry in allowed), path

"""The settings of access control, and what is said at the start if their files cannot be used."""

import os
from pathlib import Path

import pytest

from portus_gateway import settings
from portus_gateway.access_control import access_control
from portus_gateway.settings import InvalidSettings
from tests.access.certificates import Authority
from tests.access.policies import TEAM_A


@pytest.mark.parametrize(
    ("setting", "file"),
    [
        ("tls_certificate_file", "tls.crt"),
        ("tls_key_file", "tls.key"),
        ("tls_client_ca_file", "clients.pem"),
    ],
)
async def test_the_setting_of_the_tls_file_that_is_wrong_is_named(tmp_path: Path, setting: str, file: str) -> None:
    authority = Authority()
    certificate, key = authority.server().write(tmp_path)
    clients, policy = tmp_path / "clients.pem", tmp_path / "policy.toml"
    clients.write_bytes(authority.pem)
    policy.write_text(TEAM_A)
    loaded = settings.load(
        {
            "registry_url": "http://registry.test",
            "registry_anonymous": True,
            "tls_certificate_file": str(certificate),
            "tls_key_file": str(key),
            "tls_client_ca_file": str(clients),
            "policy_file": str(policy),
            "audit_log": os.devnull,
        }
    )
    async with access_control(loaded):
        pass
    (tmp_path / file).unlink()
    with pytest.raises(InvalidSettings) as caught:
        async with access_control(loaded):
            pass
    (problem,) = caught.value.problems
    assert problem.name == setting
    assert problem.description == f"{tmp_path / file}: cannot be read: No such file or directory"

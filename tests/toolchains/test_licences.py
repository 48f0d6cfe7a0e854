"""docs/licences.md has what each client needs, and all of it is allowed."""

import re
from pathlib import Path

import pytest

from release.client_licences import CLIENTS, Client
from release.licence_policy import complaints
from release.licences import listed, section

GO_MODULE = Path(__file__).parents[2] / "clients" / "go" / "go.mod"


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.language)
def test_what_a_client_needs_is_listed_and_allowed(client: Client) -> None:
    if client.missing:
        pytest.skip(f"there is no {', '.join(client.missing)}")
    packages = client.packages()
    assert complaints(packages) == []
    assert section(client.language, packages).strip() == listed(client.language).strip(), "run make licences"


def test_every_go_module_is_listed() -> None:
    """Also where there is no go-licenses, which only make licences installs."""
    required = re.findall(r"^\t(\S+) v\S+", GO_MODULE.read_text(), re.MULTILINE)
    assert required
    for module in required:
        if not module.startswith("github.com/autopilot-jobs/"):
            assert f"| {module}" in listed("Go"), f"{module}: run make licences"

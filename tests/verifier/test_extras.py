"""Each part that needs an extra says which, where a package of it is missing."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from doorward import ConfigurationError
from doorward.extras import EXTRAS, MissingExtraError, needs_extra

ROOT = Path(__file__).resolve().parents[2]

POLICY = "from doorward import InvokerPolicy\n"
CONDITION = (
    POLICY + "InvokerPolicy.from_dict({'bindings': [{'role': 'roles/run.invoker', 'members': ['allUsers'], "
    "'condition': {'title': 't', 'expression': 'request.path == \"/a\"'}}]})"
)
# What a user writes that needs each extra.
USES = {
    "aiohttp": "import doorward_integrations.aiohttp",
    "calling": "from doorward_integrations.calling import GoogleAuthSource\nGoogleAuthSource()",
    "cel": CONDITION,
    "demo": "import doorward_integrations.cli.demonstration as one; one._google_client()",
    "django": "import doorward_integrations.django",
    "emulator": "from doorward_integrations.emulator import Emulator\nEmulator().serve().__enter__()",
    "fastapi": "import doorward_integrations.fastapi",
    "flask": "import doorward_integrations.flask",
    "functions-framework": "import doorward_integrations.functions_framework",
    "gateway": "import doorward_integrations.gateway",
    "grpc": "import doorward_integrations.grpc",
    "httpx2": "from doorward_integrations.httpx_auth import Httpx2Auth",
    "otel": "import doorward_integrations.opentelemetry",
    "yaml": POLICY + "InvokerPolicy.from_yaml('bindings: []')",
}
# `uvicorn` of the demo is what the emulator serves with, and named by it.
EACH = [
    (extra, module)
    for extra, one in EXTRAS.items()
    for module in one.packages
    if (extra, module) != ("demo", "uvicorn")
]


def last_line(code: str) -> str:
    """Run code in a process of its own, and give the last line of its error."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert 0 != done.returncode
    return done.stderr.strip().splitlines()[-1]


def test_the_table_holds_the_extras_of_the_distribution() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = {
        extra: {re.split(r"[<>=;\[]", one)[0].lower() for one in requirements}
        for extra, requirements in project["optional-dependencies"].items()
        if extra != "testing"  # pytest alone imports what needs it
    }

    table = {
        extra: {distribution.partition("[")[0].lower() for distribution in one.packages.values()}
        for extra, one in EXTRAS.items()
    }
    assert declared == table
    assert EXTRAS.keys() == USES.keys()


@pytest.mark.parametrize(("extra", "module"), EACH)
def test_a_part_names_the_extra_of_a_package_that_is_missing(extra: str, module: str) -> None:
    one = EXTRAS[extra]

    line = last_line(f"import sys\nsys.modules[{module!r}] = None\n{USES[extra]}")

    kind, _, sentence = line.partition(": ")
    expected = "PolicyError" if extra in ("cel", "yaml") else "MissingExtraError"
    assert expected == kind.rpartition(".")[2]
    named = f"{one.needed_by} {one.packages[module]}: pip install 'doorward[{extra}]'"
    assert named in sentence


def test_every_part_uses_the_one_mechanism() -> None:
    sources = [*(ROOT / "verifier").rglob("*.py"), *(ROOT / "integrations").rglob("*.py")]
    text = {path: path.read_text("utf-8") for path in sources}
    named = {extra for one in text.values() for extra in re.findall(r'with needs_extra\("([a-z0-9-]+)"', one)}

    assert EXTRAS.keys() == named
    written = [path.name for path, one in text.items() if "pip install 'doorward[" in one]
    assert ["extras.py"] == written


def test_it_is_a_mistake_of_the_configuration_and_a_module_that_is_not_found() -> None:
    with pytest.raises(MissingExtraError) as raised, needs_extra("grpc"):
        raise ModuleNotFoundError("No module named 'grpc.aio'", name="grpc.aio")

    assert isinstance(raised.value, ConfigurationError)
    assert isinstance(raised.value, ModuleNotFoundError)
    assert "grpc.aio" == raised.value.name
    assert raised.value.__suppress_context__


@pytest.mark.parametrize(
    "error",
    [
        ModuleNotFoundError("No module named 'pydantic'", name="pydantic"),
        ModuleNotFoundError("no name"),
        ImportError("cannot import name 'x' from 'grpc'", name="grpc"),
        ValueError("grpc"),
    ],
)
def test_what_else_goes_wrong_is_reported_as_it_is(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, needs_extra("grpc"):
        raise error

    assert error is raised.value

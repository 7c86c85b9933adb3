"""What is shipped, what importing it costs, and that the README's example works as it stands."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import doorward
from doorward_integrations.emulator import DEFAULT_ACCOUNT, Emulator
from support.servers import asgi_server

ROOT = Path(__file__).resolve().parents[1]

NAMES = [
    "GOOGLE",
    "IAP",
    "Admission",
    "CloudIdentityGroups",
    "CloudRunAudience",
    "CloudRunFormatter",
    "ConfigurationError",
    "CredentialError",
    "DenyPolicy",
    "Door",
    "DoorwardError",
    "FetchError",
    "FixedKeys",
    "InvokerPolicy",
    "Issuer",
    "KeyCache",
    "KeysUnavailableError",
    "PermissionDeniedError",
    "PlainRequest",
    "PolicyError",
    "Principal",
    "PrincipalKind",
    "Reason",
    "Refusal",
    "RefusedError",
    "TokenError",
    "UnsafeStrippedVerifier",
    "Verifier",
    "WatchedPolicy",
    "discover",
    "explain_token",
    "find_iap_assertion",
    "firebase",
    "problem_details",
]


class TestNames:
    def test_the_public_names_are_these(self) -> None:
        assert NAMES == doorward.__all__

    def test_they_are_sorted_constants_first_then_classes_then_functions(self) -> None:
        def rank(name: str) -> tuple[int, str]:
            return (0 if name.isupper() else 1 if name[0].isupper() else 2), name

        assert sorted(NAMES, key=rank) == doorward.__all__

    @pytest.mark.parametrize("name", NAMES)
    def test_each_is_there(self, name: str) -> None:
        assert getattr(doorward, name) is not None

    def test_a_star_import_gives_these_and_no_others(self) -> None:
        found: dict[str, Any] = {}
        exec("from doorward import *", found)
        assert set(NAMES) == found.keys() - {"__builtins__"}


def modules_after(statement: str) -> set[str]:
    """Give the top-level packages, and all modules, that a fresh interpreter holds after a statement."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return set(done.stdout.split())


FRAMEWORKS = {
    "aiohttp",
    "django",
    "fastapi",
    "flask",
    "functions_framework",
    "grpc",
    "pydantic",
    "starlette",
    "uvicorn",
    "werkzeug",
}
MACHINERY = {"httpx", "httpcore", "anyio", "asyncio", "trio"}


class TestImports:
    def test_doorward_loads_no_framework_no_client_and_no_event_loop(self) -> None:
        loaded = modules_after("from doorward import Door, InvokerPolicy, Verifier")
        assert "doorward.tokens.verifier" in loaded
        assert set() == loaded & (FRAMEWORKS | MACHINERY)

    def test_doorward_loads_a_part_of_itself_when_it_is_first_asked_for(self) -> None:
        assert not {name for name in modules_after("import doorward") if name.startswith("doorward.")}

    def test_a_decision_on_known_keys_loads_none_of_them_either(self) -> None:
        """Only a fetch needs a client, and only waiting for it in a loop needs a loop."""
        loaded = modules_after(
            "from doorward import *\n"
            "door = Door(Verifier('https://orders'), InvokerPolicy.from_members(['user:a@example.com']))\n"
            "assert door.admit([]).status == 403"
        )
        assert set() == loaded & (FRAMEWORKS | MACHINERY)

    def test_doorward_integrations_loads_no_framework(self) -> None:
        loaded = modules_after("import doorward_integrations")
        assert "doorward_integrations" in loaded
        assert set() == loaded & (FRAMEWORKS | MACHINERY)

    @pytest.mark.parametrize(
        ("module", "allowed"),
        [
            ("asgi", set[str]()),
            ("wsgi", set[str]()),
            ("starlette", set[str]()),
            ("flask", {"flask", "werkzeug"}),
            ("django", {"django"}),
            ("aiohttp", {"aiohttp"}),
            ("grpc", {"grpc"}),
        ],
    )
    def test_an_adapter_loads_no_framework_but_its_own(self, module: str, allowed: set[str]) -> None:
        loaded = modules_after(f"import doorward_integrations.{module}")
        assert set() == (loaded & FRAMEWORKS) - allowed

    @pytest.mark.parametrize("folder", ["verifier", "integrations"])
    def test_the_source_folders_are_no_packages(self, folder: str) -> None:
        assert (ROOT / folder).is_dir()
        assert [] == list((ROOT / folder).glob("*.py"))

    def test_the_library_never_imports_the_integrations(self) -> None:
        sources = {path: path.read_text("utf-8") for path in (ROOT / "verifier").rglob("*.py")}
        assert sources
        assert [] == [path for path, text in sources.items() if re.search(r"import\s+doorward_integr", text)]
        assert [] == [path for path, text in sources.items() if "from doorward_integrations" in text]


def build(kind: str, source: Path, out: Path) -> Path:
    """Build a distribution as a release is built, and return its path."""
    subprocess.run(
        [sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "--outdir", str(out), str(source)],
        capture_output=True,
        timeout=120,
        check=True,
    )
    (path,) = out.iterdir()
    return path


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source archive, built from the working tree and unpacked."""
    archive = build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


@pytest.fixture(scope="module")
def wheel(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """The wheel, built from the source archive as a release is."""
    with zipfile.ZipFile(build("wheel", unpacked, tmp_path_factory.mktemp("dist"))) as wheel:
        yield wheel


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return Parser().parsestr(wheel.read(name).decode())


class TestWheel:
    def test_it_puts_two_packages_and_its_record_into_site_packages(self, wheel: zipfile.ZipFile) -> None:
        record = f"doorward-{metadata_version()}.dist-info"
        expected = {"doorward", "doorward_integrations", record}
        assert expected == {name.partition("/")[0] for name in wheel.namelist()}

    @pytest.mark.parametrize("package", ["doorward", "doorward_integrations"])
    def test_both_packages_say_that_they_are_typed(self, wheel: zipfile.ZipFile, package: str) -> None:
        assert f"{package}/py.typed" in wheel.namelist()

    def test_it_holds_every_source_file_and_nothing_else(self, wheel: zipfile.ZipFile) -> None:
        expected = {
            path.relative_to(ROOT / folder).as_posix()
            for folder in ("verifier", "integrations")
            for path in (ROOT / folder).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        assert expected == {name for name in wheel.namelist() if ".dist-info/" not in name}

    def test_it_needs_these_packages_to_run(self, metadata: Message) -> None:
        required = [text for text in metadata.get_all("Requires-Dist", []) if "extra ==" not in text]
        names = sorted(re.split(r"[<>=!~;\[ ]", text, maxsplit=1)[0].lower() for text in required)
        assert ["cryptography", "httpx", "pyjwt", "starlette"] == names

    def test_every_framework_is_an_extra(self, metadata: Message) -> None:
        frameworks = {"aiohttp", "django", "fastapi", "flask", "functions-framework", "grpc"}
        others = {"calling", "cel", "demo", "emulator", "gateway", "httpx2", "otel", "testing", "yaml"}
        assert frameworks | others == set(metadata.get_all("Provides-Extra", []))

    def test_it_carries_its_licence(self, wheel: zipfile.ZipFile, metadata: Message) -> None:
        assert "Apache-2.0" == metadata["License-Expression"]
        assert any(name.endswith("/licenses/LICENSE") for name in wheel.namelist())


@pytest.fixture(scope="module")
def bare(wheel: zipfile.ZipFile, metadata: Message, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of modules as pip fills it for ``doorward`` without extras: the wheel, and what it needs."""
    folder = tmp_path_factory.mktemp("site-packages")
    wheel.extractall(folder)
    todo, seen = list(metadata.get_all("Requires-Dist", [])), set[str]()
    while todo:
        requirement = Requirement(todo.pop())
        name = canonicalize_name(requirement.name)
        if name in seen or (
            requirement.marker is not None and not requirement.marker.evaluate({"extra": ""})
        ):
            continue
        seen.add(name)
        found = distribution(name)
        todo += found.requires or []
        for top in {
            file.parts[0] for file in found.files or [] if file.parts[0] not in ("..", "__pycache__")
        }:
            (folder / top).symlink_to(Path(str(found.locate_file(top))))
    return folder


# The modules that need an extra as they are imported.
NEEDS = {
    "aiohttp": "aiohttp",
    "calling.for_httpx2": "httpx2",
    "calling.google_transport": "calling",
    "cli.demonstrated_gateway": "gateway",
    "cli.demonstrated_functions": "demo",
    "cli.demonstration": "demo",
    "django": "django",
    "fastapi": "fastapi",
    "flask": "flask",
    "functions_framework": "functions-framework",
    "gateway": "gateway",
    "grpc": "grpc",
    "grpc_auth": "grpc",
    "grpc_call": "grpc",
    "opentelemetry": "otel",
}


class TestWithoutExtras:
    def test_every_module_of_the_wheel_imports_or_names_its_extra(self, bare: Path) -> None:
        code = """
import importlib, pkgutil, sys
sys.path.insert(0, sys.argv[1])
from doorward.extras import MissingExtraError
for package in ("doorward", "doorward_integrations"):
    root = importlib.import_module(package)
    print(package, root.__file__)
    for module in pkgutil.walk_packages(root.__path__, package + ".", onerror=lambda name: None):
        if module.name == "doorward_integrations.testing.plugin":
            continue  # pytest alone imports it
        try:
            importlib.import_module(module.name)
        except MissingExtraError as error:
            print(module.name, error)
"""
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", code, str(bare)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

        assert "" == done.stderr
        lines = [line.split(" ", 1) for line in done.stdout.splitlines()]
        places = {name: where for name, where in lines if name in ("doorward", "doorward_integrations")}
        assert all(Path(where).is_relative_to(bare) for where in places.values())
        named = {
            name.removeprefix("doorward_integrations."): why for name, why in lines if name not in places
        }
        assert NEEDS == {
            name: re.findall(r"pip install 'doorward\[(.+)\]'", why)[0] for name, why in named.items()
        }

    def test_the_command_works(self, bare: Path) -> None:
        code = (
            "import sys; sys.path.insert(0, sys.argv.pop(1))\n"
            "from doorward_integrations.cli.main import main; main()"
        )
        command = [sys.executable, "-I", "-S", "-c", code, str(bare)]
        environ = {"DOORWARD_AUDIENCE": "https://orders", "DOORWARD_MEMBERS": "user:ada@example.com"}
        done = subprocess.run(
            [*command, "settings", "--check"],
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

        assert ("", 0) == (done.stderr, done.returncode)
        assert "InvokerPolicy(1 members)" == done.stdout.splitlines()[-1]


class TestSourceArchive:
    def test_it_holds_every_file_that_the_tests_are_made_of_and_read(self, unpacked: Path) -> None:
        folders = ("verifier", "integrations", "tests", "benchmarks", "docs", "examples", ".locks", ".ci")
        files = ("README.md", "CHANGELOG.md", "LICENSE", "SECURITY.md", "Makefile", "pyproject.toml")
        below = (path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file())
        needed = {path.relative_to(ROOT).as_posix() for path in below if path.suffix != ".pyc"} | {*files}

        there = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()}

        assert set() == needed - there
        assert {"PKG-INFO", ".gitignore"} == there - needed

    def test_the_tests_that_read_the_project_pass_in_it(self, unpacked: Path) -> None:
        tests = ["tests/test_docs.py", "tests/test_house.py", "tests/benchmarks/test_page.py"]
        done = run_tests(unpacked, *tests)

        assert 0 == done.returncode, done.stdout[-2_000:]


def run_tests(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run tests of an unpacked archive, with its own modules."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(["verifier", "integrations"])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def metadata_version() -> str:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    found = re.search(r'^version = "([^"]+)"', text, re.MULTILINE)
    assert found is not None
    return found[1]


def readme_example() -> str:
    readme = (ROOT / "README.md").read_text("utf-8")
    blocks: list[str] = re.findall(r"^```python\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    return next(block for block in blocks if "FastAPI" in block)


class TestReadme:
    def test_the_example_has_less_than_15_lines(self) -> None:
        assert len(readme_example().splitlines()) < 15

    def test_the_example_runs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        member = f"serviceAccount:{DEFAULT_ACCOUNT}"
        policy = {"bindings": [{"role": "roles/run.invoker", "members": [member]}], "version": 1}
        (tmp_path / "policy.json").write_text(json.dumps(policy))
        monkeypatch.chdir(tmp_path)
        audience = re.search(r'audience="([^"]+)"', readme_example())
        assert audience is not None
        with Emulator().serve() as emulator:
            monkeypatch.setenv("DOORWARD_EMULATOR_HOST", emulator.host)
            module: dict[str, Any] = {"__name__": "main"}
            exec(readme_example(), module)
            app = module["app"]
            assert isinstance(app, FastAPI)
            issuer = emulator.emulator.issuer
            expired = issuer.mint(audience[1], issued_at=time.time() - 7200)
            stranger = issuer.mint(audience[1], email="stranger@doorward-demo.iam.gserviceaccount.com")
            tokens = [issuer.mint(audience[1]), None, expired, stranger]
            with asgi_server(app) as base:
                answers = [
                    httpx.get(
                        base, headers={"authorization": f"Bearer {one}"} if one else {}, trust_env=False
                    )
                    for one in tokens
                ]
        assert f"Hello, {member}" == answers[0].json()
        assert [200, 403, 401, 403] == [answer.status_code for answer in answers]


def test_the_version_is_the_one_of_the_installed_package() -> None:
    assert metadata_version() == version("doorward")

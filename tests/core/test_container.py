"""The recipe of a container: an unprivileged user, pinned packages, no secret, and no needless right."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def instructions() -> list[tuple[str, str]]:
    """The instructions of the recipe in order, each with what follows it."""
    text = (ROOT / "Containerfile").read_text()
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(line.split()[0].upper(), line.split(maxsplit=1)[1]) for line in lines if line.strip()]


def all_of(name: str) -> list[str]:
    return [rest for instruction, rest in instructions() if instruction == name]


def test_it_ends_as_a_user_of_a_number_that_is_not_root():
    found = instructions()
    last = max(i for i, (name, _) in enumerate(found) if name == "USER")
    user, _, group = found[last][1].partition(":")
    assert int(user) > 0  # a number, which a cluster can look at
    assert int(group) > 0
    assert {name for name, _ in found[last:]} <= {"USER", "VOLUME", "ENV", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
    assert any(f"useradd --uid {user}" in rest for rest in all_of("RUN"))


def test_what_is_run_belongs_to_root_and_only_the_store_to_the_user():
    for rest in all_of("COPY"):
        assert "--chown" not in rest
        assert "--chmod" not in rest
    [made] = [rest for rest in all_of("RUN") if "useradd" in rest]
    assert "install --directory --owner workbench --mode 700 /store" in made
    assert all_of("VOLUME") == ["/store"]
    for word in ("chmod", "chown", "sudo", "setcap", "curl", "wget", "apt-get"):
        assert word not in made


def test_packages_are_those_of_the_constraints_and_the_base_is_named_by_version():
    [made] = [rest for rest in all_of("RUN") if "pip install" in rest]
    assert "--constraint constraints.txt" in made
    extras = set(re.search(r"\.\[([\w,]+)\]", made).group(1).split(","))
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert extras <= set(project["optional-dependencies"])
    [base] = all_of("FROM")
    assert base.startswith("docker.io/library/python:")
    tag = base.rpartition(":")[2]
    assert re.match(r"\d+\.\d+-slim", tag), tag
    python = re.search(r">=(\d+)\.(\d+)", project["requires-python"])
    assert tuple(map(int, tag.split("-")[0].split("."))) >= tuple(map(int, python.groups()))


def test_everything_that_it_copies_is_there_and_is_enough():
    copied = [word for rest in all_of("COPY") for word in shlex.split(rest)[:-1]]
    for word in copied:
        assert (ROOT / word).exists(), word
    assert {"pyproject.toml", "constraints.txt", ".streamlit", "workbench", "pages", "pipelines"} <= set(
        copied
    )


def test_no_secret_and_no_data_can_be_copied():
    """What reaches the builder is a list of what may, not of what may not."""
    lines = (ROOT / ".dockerignore").read_text().split()
    assert lines[0] == "*"
    allowed = [line[1:] for line in lines if line.startswith("!")]
    for secret in (".streamlit/secrets.toml", ".git", "data", ".env", "tests", "benchmarks"):
        assert not any(fnmatch(secret, name) or secret.startswith(f"{name}/") for name in allowed), secret
    text = (ROOT / "Containerfile").read_text()
    assert not all_of("ARG")  # they stay in the image's history
    assert not re.search(r"(?i)(password|secret|token|_key)\s*=", text)


def test_what_it_starts_answers_to_the_words_of_the_page():
    [entry] = all_of("ENTRYPOINT")
    command = json.loads(entry)
    assert command == ["python", "-m", "workbench"]
    told = subprocess.run([sys.executable, *command[1:], "--help"], capture_output=True, text=True, cwd=ROOT)
    assert told.returncode == 0
    assert "web" in told.stdout
    assert "worker" in told.stdout
    [check] = all_of("HEALTHCHECK")
    assert "/healthz" in check
    [variables] = all_of("ENV")
    assert "WORKBENCH_STORE=/store" in variables


@pytest.mark.parametrize("flag", ["--read-only", "--cap-drop all", "--security-opt no-new-privileges"])
def test_the_page_says_to_start_it_without_rights(flag):
    page = (ROOT / "docs" / "container.md").read_text()
    assert flag in page.replace("\\\n", " ")

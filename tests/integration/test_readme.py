"""Every command of the README, in the order that a reader types them; trainings take two steps instead of hundreds."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from eeg_ingest.sources import load_sources
from labram_model.task import load_task

from tests.integration.conftest import BIN, ROOT

README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert found
    return found


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readme")
    for text in blocks("yaml"):
        name = "sources.yaml" if "sources" in yaml.safe_load(text) else "task.yaml"
        (folder / name).write_text(text)
    return folder


def test_the_yaml_files_of_the_readme_are_valid(workplace: Path) -> None:
    assert [source.name for source in load_sources(workplace / "sources.yaml")] == ["clinic"]
    assert load_task(workplace / "task.yaml").classes


def test_every_command_of_the_readme_works(workplace: Path) -> None:
    script = "set -e\n" + "".join(blocks("bash"))
    script = re.sub(r"--steps \d+", "--steps 2", script)
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        ["bash"], input=script, cwd=workplace, env=environment, capture_output=True, text=True, check=False, timeout=500
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    for text in blocks("python"):
        subprocess.run([BIN / "python", "-c", text], cwd=workplace, check=True, timeout=60)


def test_the_make_targets_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^make (\w+)", README, re.MULTILINE))
    makefile = (ROOT / "Makefile").read_text()
    assert targets == {"demo", "test"}
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def test_the_files_of_the_readme_exist() -> None:
    mapped = [
        path for cell in re.findall(r"^\| (`[^|]*) \|", README, re.MULTILINE) for path in re.findall("`(.+?)`", cell)
    ]
    linked = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(mapped) > 5
    assert [path for path in (*mapped, *linked) if not (ROOT / path).exists()] == []

"""The command line: exit codes, one JSON document on stdout, messages for people on stderr."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
import zarr
from eeg_ingest.cli import main
from eeg_ingest.sources import load_sources


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, write_edf: Callable[..., Path], write_sources: Any) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    write_edf(folder / "eeg" / "a.edf", 1)
    write_edf(folder / "eeg" / "b.edf", 2)
    (folder / "eeg" / "c.edf").write_text("no recording")
    write_sources(folder / "sources.yaml", folder / "eeg")
    return folder


@dataclass(frozen=True)
class Finished:
    """What a command left: its exit code and its output."""

    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Finished]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """Run `eeg-ingest` in this process, which spares its start."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(*arguments: object, cwd: Path | None = None) -> Finished:
        monkeypatch.setattr(sys, "argv", ["eeg-ingest", *map(str, arguments)])
        if cwd is not None:
            monkeypatch.chdir(cwd)
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return Finished(int(ended.value.code or 0), *capfd.readouterr())

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def built(corpus: Path, cli: Any) -> Path:
    """A store at the default place, built with the default workers."""
    finished = cli("build", "--sources", "sources.yaml", cwd=corpus)
    assert finished.returncode == 1
    assert "2 ingested, 0 present, 1 failed" in finished.stdout
    assert "eeg/c.edf: No EEG format" in finished.stdout
    return corpus


def test_build_again_as_json(built: Path, cli: Any) -> None:
    finished = cli("build", "--sources", "sources.yaml", "--workers", 1, "--json", cwd=built)
    assert finished.returncode == 1
    assert finished.stderr.startswith("Dashboard: http://127.0.0.1:")
    result = json.loads(finished.stdout)
    assert (result["ingested"], result["present"], result["failed"]) == (0, 2, 1)
    assert result["recordings"] == 2


def test_inspect(built: Path, command: Command) -> None:
    finished = command("inspect", "--json", cwd=built)
    assert (finished.returncode, finished.stderr) == (0, "")
    result = json.loads(finished.stdout)
    assert result["recordings"] == 2
    assert result["hours"] == pytest.approx(8 / 3600)
    assert re.fullmatch("[0-9a-f]{64}", result["spec"]["hash"])
    assert result["spec"]["sources"]["eeg"]["line_freq_hz"] == "auto"
    (source,) = result["sources"]
    assert (source["name"], source["recordings"], source["subjects"]) == ("eeg", 2, 0)
    (failure,) = source["failures"]
    assert failure["file"] == "c.edf"
    assert set(failure) == {"file", "reason"}
    assert command("inspect", "data.zarr", "--json", cwd=built).stdout == finished.stdout
    assert command("inspect", "--store", built / "data.zarr", "--json").stdout == finished.stdout
    table = command("inspect", cwd=built).stdout.splitlines()
    assert table[0].split() == ["source", "recordings", "subjects", "hours", "channels", "MB", "failures"]
    assert len({len(line) for line in table[:2]}) == 1


def test_validate(built: Path, command: Command) -> None:
    finished = command("validate", "--json", cwd=built)
    assert finished.returncode == 0
    assert json.loads(finished.stdout) == {"valid": True, "recordings": 2, "problems": []}
    assert command("validate", built / "data.zarr").stdout == "2 recordings, no problems\n"


def test_validate_finds_a_flipped_bit(built: Path, command: Command, tmp_path: Path) -> None:
    shutil.copytree(built / "data.zarr", tmp_path / "data.zarr")
    shard = next(iter(sorted((tmp_path / "data.zarr").glob("eeg/*/signal/c.*"))))
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(content)
    finished = command("validate", tmp_path / "data.zarr", "--json")
    assert finished.returncode == 1
    result = json.loads(finished.stdout)
    assert not result["valid"]
    assert any("eeg/a.edf" in problem for problem in result["problems"])
    assert "Traceback" not in finished.stderr


def test_plan_writes_nothing(corpus: Path, cli: Any, tmp_path: Path) -> None:
    finished = cli("plan", "--sources", corpus / "sources.yaml", "--json", "--workers", 1, cwd=tmp_path)
    assert finished.returncode == 1
    result = json.loads(finished.stdout)
    assert result["totals"] == {"new": 2, "present": 0, "failed": 1, "new_hours": pytest.approx(8 / 3600)}
    (source,) = result["sources"]
    new = source["recordings"][0]
    assert new == {
        "file": "a.edf",
        "recording": "eeg/a.edf",
        "subject": None,
        "session": None,
        "run": None,
        "format": "edf",
        "n_channels": 6,
        "sfreq_hz": 200.0,
        "seconds": 4,
        "status": "new",
        "reason": None,
    }
    assert source["recordings"][2]["status"] == "failed"
    assert list(tmp_path.iterdir()) == []


def test_the_schema_is_json_and_the_example_loads(command: Command, tmp_path: Path) -> None:
    assert json.loads(command("schema").stdout)["properties"].keys() == {"sources"}
    assert command("init", cwd=tmp_path).returncode == 0
    assert len(load_sources(tmp_path / "sources.yaml")) == 8
    before = (tmp_path / "sources.yaml").read_text()
    again = command("init", cwd=tmp_path)
    assert again.returncode == 2
    assert "expected no such file, found one" in again.stderr
    assert (tmp_path / "sources.yaml").read_text() == before
    assert command("init", tmp_path / "no" / "folder.yaml").returncode == 2


def test_a_sources_yaml_with_five_mistakes(command: Command, tmp_path: Path) -> None:
    sources = {
        "sources": [
            {"name": "A b", "path": "x", "line_freq_hz": "fifty", "unit": "W"},
            {"name": "c", "pth": "x"},
        ]
    }
    (tmp_path / "sources.yaml").write_text(yaml.safe_dump(sources))
    for name in ("build", "plan"):
        finished = command(name, "--sources", "sources.yaml", "--json", cwd=tmp_path)
        assert (finished.returncode, finished.stdout) == (2, "")
        assert "5 mistakes in sources.yaml" in finished.stderr
        places = ("sources[0].name", "sources[0].line_freq_hz", "sources[0].unit", "sources[1].path", "sources[1].pth")
        assert all(f"  {place}: " in finished.stderr for place in places)
        assert "Traceback" not in finished.stderr
    assert not (tmp_path / "data.zarr").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build"], "--sources"),
        (["build", "--sources", "none.yaml"], "none.yaml"),
        (["build", "--sources", "ok.yaml", "--worker", "2"], "--worker"),
        (["build", "--sources", "ok.yaml", "--workers", "0"], "--workers"),
        (["build", "--sources", "ok.yaml", "--workers", "1", "--scheduler", "tcp://x:1"], "exclude each other"),
        (["build", "--sources", "ok.yaml", "--store", "other"], "other"),
        (["build", "--sources", "ok.yaml", "--workers", "1", "--parts", "1/2", "--strict"], "audit --strict after"),
        (["inspect", "none.zarr"], "none.zarr"),
        (["inspect", "plain.zarr"], "eeg-store"),
        (["validate", "--store", "none.zarr"], "none.zarr"),
        (["audit", "none.zarr"], "none.zarr"),
        (["audit", "none.zarr", "--sources", "none.yaml"], "none.yaml"),
        (["inspekt"], "inspekt"),
    ],
)
def test_wrong_usage_is_2_with_a_message(command: Command, tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "ok.yaml").write_text("sources: [{name: a, path: x}]")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").touch()
    zarr.create_group(tmp_path / "plain.zarr")
    finished = command(*arguments, cwd=tmp_path)
    assert (finished.returncode, finished.stdout) == (2, "")
    assert message in finished.stderr
    assert "Traceback" not in finished.stderr


def test_another_spec_is_refused_with_both_values(built: Path, command: Command, write_sources: Any) -> None:
    other = {"name": "eeg", "path": str(built / "eeg"), "line_freq_hz": 60}
    write_sources(built / "other.yaml", other)
    for name in ("build", "plan"):
        finished = command(name, "--sources", "other.yaml", cwd=built)
        assert (finished.returncode, finished.stdout) == (2, "")
        assert "sources.eeg.line_freq_hz: 'auto' in the store, 60.0 now." in finished.stderr


def test_build_and_audit_say_what_was_found(
    command: Command, tmp_path: Path, write_edf: Any, write_sources: Any
) -> None:
    for number in range(3):
        write_edf(tmp_path / "eeg" / f"s{number}.edf", 10 + number, seconds=12, names=("Fp1", "C3", "O1"))
    source = {"name": "eeg", "path": str(tmp_path / "eeg"), "subject": r"(?P<subject>s\d)", "line_freq_hz": 50}
    write_sources(tmp_path / "plain.yaml", source)
    write_sources(tmp_path / "sources.yaml", {**source, "expected": {"subjects": 9, "sfreq_hz": 500, "hours": 2}})
    build = ("build", "--workers", 1, "--sources")
    plain = command(*build, "plain.yaml", "--strict", "--json", cwd=tmp_path)
    assert plain.returncode == 0
    assert json.loads(plain.stdout)["findings"] == []
    built = command(*build, "sources.yaml", "--json")
    result = json.loads(built.stdout)
    assert built.returncode == 0
    assert result["spec"] == json.loads(plain.stdout)["spec"]
    names = [(finding["name"], finding["weight"]) for finding in result["findings"]]
    assert names == [("sampling_rate", "error"), ("hours", "note"), ("subjects", "note")]
    assert result["findings"][0]["recordings"] == [f"eeg/s{number}.edf" for number in range(3)]
    lines = [line for line in built.stderr.splitlines() if " in eeg: expected " in line]
    assert [line.split()[:2] for line in lines] == [[weight, name] for name, weight in names]
    assert command(*build, "sources.yaml", "--strict").returncode == 1

    audited = command("audit", "--workers", 1, "--json")
    assert audited.returncode == 0
    assert json.loads(audited.stdout) == {"recordings": 3, "findings": result["findings"]}
    assert command("audit", "data.zarr", "--workers", 1, "--strict").returncode == 1
    write_sources(tmp_path / "other.yaml", {**source, "expected": {"subjects": 2}})
    other = command("audit", "--workers", 1, "--sources", "other.yaml", "--strict")
    assert other.returncode == 1
    assert "warning: subjects in eeg\n  expected  2 subjects\n  found     3\n  do        Check" in other.stdout
    assert other.stdout.endswith("3 recordings looked at: 0 errors, 1 warning, 0 notes\n")


def test_help_names_every_command(command: Command) -> None:
    finished = command("--help")
    assert finished.returncode == 0
    for name in ("build", "plan", "audit", "inspect", "validate", "schema", "recipes", "init", "demo"):
        assert name in finished.stdout

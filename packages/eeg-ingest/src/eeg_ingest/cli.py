"""The command line of eeg-ingest: results on stdout, progress and logs on stderr."""

from __future__ import annotations

import atexit
import gc
import json
import logging
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn

import eeg_store
import typer

from eeg_ingest.errors import StoppedError, UsageError
from eeg_ingest.init import write_example
from eeg_ingest.recipe import load_recipe, recipe_names, write_task
from eeg_ingest.show_recipes import show, summary_of, table_of_recipes, whole_of
from eeg_ingest.sources import Sources, load_sources
from eeg_ingest.summary import align, list_failures, summarize, table_of_sources

FAILED, WRONG_USAGE = 1, 2
DEFAULT_STORE = Path("data.zarr")

app = typer.Typer(
    help="EEG recordings, as they are published, into one harmonized patch store.",
    epilog="Exit codes: 0 done, 1 recordings failed, the store has problems or (--strict) findings, 2 wrong usage.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

SourcesOption = Annotated[Path, typer.Option("--sources", help="The datasets: see `eeg-ingest init`.")]
StoreOption = Annotated[Path, typer.Option("--store", help="The store.")]
StoreArgument = Annotated[Path | None, typer.Argument(metavar="[STORE]", help="The store; or use --store.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=1, help="Processes on this machine; default: one for each processor.")
]
SchedulerOption = Annotated[
    str | None,
    typer.Option("--scheduler", metavar="ADDRESS", help="A running Dask scheduler, such as tcp://host:8786."),
]
PartsOption = Annotated[
    str | None,
    typer.Option(
        "--parts",
        metavar="K/N",
        help="Only part K of N of the recordings, for a batch system: give every job another K, on one shared store.",
    ),
]
StrictOption = Annotated[bool, typer.Option("--strict", help="Exit with 1 for findings of weight: all but notes.")]


@app.command()
def build(
    sources: SourcesOption,
    store: StoreOption = DEFAULT_STORE,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    parts: PartsOption = None,
    *,
    strict: StrictOption = False,
    as_json: JsonOption = False,
) -> None:
    """Bring a store up to date with its sources, and audit it: new recordings are added, stored ones are left alone.

    The address of Dask's dashboard is printed. A part is not audited: the others may run.
    """
    with _workers(workers, scheduler) as cluster, _expected_errors():
        loaded = load_sources(sources)
        cluster.start_early()

        from eeg_ingest import build as building  # noqa: PLC0415  # takes as long as a worker takes to start
        from eeg_ingest.audit import audit as find  # noqa: PLC0415
        from eeg_ingest.parts import Part  # noqa: PLC0415

        part = Part.parse(parts) if parts is not None else None
        if part and strict:
            raise UsageError(
                "--strict cannot be used: expected a whole build, found --parts, which is not audited. "
                "Run eeg-ingest audit --strict after the last part."
            )
        result = building.build(loaded, store, cluster, part)
        findings = None if part else find(eeg_store.Store.open(store), cluster)
        summary = summarize(eeg_store.Store.open(store))
    done: dict[str, Any] = {"ingested": result.ingested, "present": result.present, "failed": result.failed}
    done["seconds"] = result.seconds
    if findings is not None:
        done["findings"] = [finding.to_json() for finding in findings]
    for finding in findings or ():
        typer.echo(finding, err=True)
    text = f"{result.ingested} ingested, {result.present} present, {result.failed} failed, {result.seconds:.1f} s"
    _print({**summary, **done} if as_json else f"{table_of_sources(summary)}\n\n{text}")
    too_heavy = strict and any(finding.has_weight for finding in findings or ())
    raise typer.Exit(FAILED if result.failed or too_heavy else 0)


@app.command()
def audit(
    path: StoreArgument = None,
    store: StoreOption = DEFAULT_STORE,
    sources: Annotated[
        Path | None, typer.Option("--sources", help="Take what is expected from here, not from the store.")
    ] = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    *,
    strict: StrictOption = False,
    as_json: JsonOption = False,
) -> None:
    """Find what contradicts a store's sources: rates, units, mains, channels, duplicates and more (docs/audit.md)."""
    from eeg_ingest.audit import audit as find  # noqa: PLC0415
    from eeg_ingest.audit import write_page  # noqa: PLC0415

    with _workers(workers, scheduler) as cluster, _expected_errors():
        expected = {s.name: s.expected for s in load_sources(sources) if s.expected} if sources else None
        opened = eeg_store.Store.open(path or store)
        findings = find(opened, cluster, expected)
        recordings = len(opened.recordings(["recording"]))
    listed = [finding.to_json() for finding in findings]
    _print({"recordings": recordings, "findings": listed} if as_json else write_page(findings, recordings))
    raise typer.Exit(FAILED if strict and any(finding.has_weight for finding in findings) else 0)


@app.command()
def plan(
    sources: SourcesOption,
    store: StoreOption = DEFAULT_STORE,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a build would do: new, present and failing recordings. Writes nothing."""
    from eeg_ingest.plan import make_plan  # noqa: PLC0415
    from eeg_ingest.spec import extend_spec  # noqa: PLC0415

    with _workers(workers, scheduler) as cluster, _expected_errors():
        loaded = load_sources(sources)
        held = eeg_store.Store.open(store) if (store / "zarr.json").exists() else None
        if held is not None:
            extend_spec(held.spec, loaded, store)
        entries = make_plan(loaded, held, cluster).entries
    by_source = {source.name: [entry for entry in entries if entry.source == source.name] for source in loaded}
    counts = Counter(entry.status for entry in entries)
    totals: dict[str, float] = {status: counts[status] for status in ("new", "present", "failed")}
    totals["new_hours"] = sum(entry.n_seconds or 0 for entry in entries if entry.status == "new") / 3600
    if as_json:
        listed = [{"name": name, "recordings": [e.to_json() for e in found]} for name, found in by_source.items()]
        _print({"sources": listed, "totals": totals})
    else:
        rows = [["source", "new", "present", "failed", "new hours"]]
        for name, found in [*by_source.items(), ("total", list(entries))]:
            status = Counter(entry.status for entry in found)
            hours = sum(entry.n_seconds or 0 for entry in found if entry.status == "new") / 3600
            rows.append([name, *(str(status[key]) for key in ("new", "present", "failed")), f"{hours:.2f}"])
        failures = [(entry.source, entry.file, entry.reason) for entry in entries if entry.reason is not None]
        _print("\n".join([align(rows), *list_failures(failures)]))
    raise typer.Exit(FAILED if counts["failed"] else 0)


@app.command()
def inspect(path: StoreArgument = None, store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Show what a store holds, also while it is being built."""
    with _expected_errors():
        summary = summarize(eeg_store.Store.open(path or store))
    _print(summary if as_json else table_of_sources(summary))


@app.command()
def validate(path: StoreArgument = None, store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Check a store: structure, tables, and the checksum of every recording."""
    with _expected_errors():
        opened = eeg_store.Store.open(path or store)
        problems = opened.validate()
        recordings = len(opened.recordings(["recording"]))
    text = "\n".join([*problems, f"{recordings} recordings, {len(problems) or 'no'} problems"])
    _print({"valid": not problems, "recordings": recordings, "problems": problems} if as_json else text)
    raise typer.Exit(FAILED if problems else 0)


@app.command()
def schema() -> None:
    """Print the JSON Schema of sources.yaml."""
    _print({"$schema": "https://json-schema.org/draft/2020-12/schema", **Sources.model_json_schema(by_alias=True)})


@app.command()
def recipes(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One recipe, to see all of it.")] = None,
    task: Annotated[str | None, typer.Option(help="Print this task of the recipe as a task.yaml.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the datasets that the package knows, or show one: what it is, how to get it, what to tell from what."""
    if task is not None and name is None:
        _fail(
            "--task needs a recipe: expected a NAME, found none. Add it: eeg-ingest recipes NAME --task TASK.",
            WRONG_USAGE,
        )
    with _expected_errors():
        if name is None:
            listed = [load_recipe(known) for known in recipe_names()]
            _print({"recipes": [summary_of(recipe) for recipe in listed]} if as_json else table_of_recipes(listed))
        elif task is not None:
            _print(write_task(load_recipe(name), task))
        else:
            recipe = load_recipe(name)
            _print(whole_of(recipe) if as_json else show(recipe))


@app.command()
def init(path: Annotated[Path, typer.Argument(help="The file to write.")] = Path("sources.yaml")) -> None:
    """Write a commented example of sources.yaml."""
    try:
        write_example(path)
    except FileExistsError:
        _fail(f"{path} cannot be written: expected no such file, found one. Give another path.", WRONG_USAGE)
    except OSError as error:
        _fail(f"{path} cannot be written: expected a writable folder, found: {error.strerror}.", WRONG_USAGE)
    _print(f"Wrote {path}. Edit it, then: eeg-ingest build --sources {path}")


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make.")],
    seed: Annotated[int, typer.Option(help="Another seed gives other people and recordings.")] = 0,
) -> None:
    """Write a corpus that behaves like EEG, in several formats, and its sources.yaml."""
    from eeg_ingest.demo import write_corpus  # noqa: PLC0415

    try:
        write_corpus(folder, seed=seed)
    except OSError as error:
        _fail(f"{folder} cannot be written: expected a new folder, found: {error.strerror or error}.", WRONG_USAGE)
    _print(f"Wrote {folder}. Next: eeg-ingest build --sources {folder / 'sources.yaml'}")


def main() -> None:
    """Run the command line. Ctrl-C and SIGTERM stop it in order, with the exit codes 130 and 143."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    atexit.register(gc.freeze)  # at its end Python would look through all objects, for a fifth of a second
    app()


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    _fail("Stopped. What is stored is valid; the same command goes on.", 128 + number)


@contextmanager
def _workers(count: int | None, scheduler: str | None) -> Iterator[Any]:
    from eeg_ingest.workers import Workers, default_workers  # noqa: PLC0415

    if count is not None and scheduler is not None:
        _fail("--workers and --scheduler exclude each other: expected one, found both. Leave one out.", WRONG_USAGE)
    with Workers(count or default_workers(), scheduler) as workers:
        yield workers


@contextmanager
def _expected_errors() -> Iterator[None]:
    """Errors of what the user gave are messages, not tracebacks."""
    try:
        yield
    except (UsageError, eeg_store.StoreError) as error:
        _fail(error, WRONG_USAGE)
    except StoppedError as error:
        _fail(error, FAILED)


def _fail(message: object, code: int) -> NoReturn:
    typer.echo(f"eeg-ingest: {message}", err=True)
    raise SystemExit(code)


def _print(value: Any) -> None:
    typer.echo(value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))

"""A task.yaml is refused with every mistake at once, each with the key and what was found."""

from __future__ import annotations

from pathlib import Path

import pytest
from labram_model.errors import LabramError
from labram_model.task import Task, Training, load_task

GOOD = """
name: fists
classes: {rest: [T0], left: [T1], right: [T2, T2b]}
window_s: 4
"""


def load(tmp_path: Path, text: str) -> Task:
    path = tmp_path / "task.yaml"
    path.write_text(text, encoding="utf-8")
    return load_task(path)


def mistakes(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(LabramError) as caught:
        load(tmp_path, text)
    first, *lines = str(caught.value).splitlines()
    assert first == f"The task {tmp_path / 'task.yaml'} has {len(lines)} mistake(s):"
    return [line.strip() for line in lines]


def test_defaults_are_the_paper_s(tmp_path: Path) -> None:
    task = load(tmp_path, GOOD)
    assert task.class_of(["T2b", "T0", "T1", "T2", "T3"]) == {"T0": 0, "T1": 1, "T2": 2, "T2b": 2}
    recipe = task.training
    assert (recipe.lr, recipe.min_lr, recipe.weight_decay, recipe.layer_decay) == (5e-4, 1e-6, 0.05, 0.65)
    assert (recipe.epochs, recipe.warmup_epochs, recipe.drop_path, recipe.label_smoothing) == (50, 5, 0.1, 0.1)
    assert (task.split.train, task.split.val, task.split.test) == (0.6, 0.2, 0.2)
    assert task.sources is None


def test_labels_of_a_class_may_hold_a_star(tmp_path: Path) -> None:
    task = load(tmp_path, GOOD.replace("rest: [T0]", 'rest: ["T0", "eyem *"]').replace("left: [T1]", 'left: ["T*"]'))
    assert task.class_of(["eyem FP1-F7", "T1", "T0", "T2", "x"]) == {"eyem FP1-F7": 0, "T1": 1, "T0": 0, "T2": 2}
    unclear = load(tmp_path, GOOD.replace("rest: [T0]", 'rest: ["T*"]').replace("left: [T1]", 'left: ["*1"]'))
    with pytest.raises(LabramError, match="one class for the label 'T1', found rest and left"):
        unclear.class_of(["T1"])


def test_every_mistake_at_once(tmp_path: Path) -> None:
    found = mistakes(
        tmp_path,
        """
        name: 3
        classes: {on: [T0], rest: [1, T5], b: [], c: T1}
        window_ss: 4
        stride_s: -1
        split: {train: 0.6, val: [a], tst: 3, test: x}
        training: {learning_rate: 3, epochs: 0, lr: .inf, layer_deca: 0.5}
        """,
    )
    by_key = {line.split(":")[0]: line for line in found}
    assert by_key["name"].endswith("(write it in quotes), found 3")
    assert by_key["classes.1"].endswith("(write it in quotes), found True")  # YAML 1.1 reads on as a boolean
    assert by_key["classes.rest.0"].endswith("(write it in quotes), found 1")
    assert by_key["classes.c"] == "classes.c: expected a list, found 'T1'"
    assert by_key["window_s"] == "window_s: expected a value, found none"
    assert by_key["window_ss"] == "window_ss: unknown key; did you mean window_s?"
    assert by_key["stride_s"] == "stride_s: expected greater than 0, found -1"
    assert "expected a share such as 0.6, a list such as" in by_key["split.test"]
    assert by_key["split.tst"] == "split.tst: unknown key; did you mean test?"
    assert by_key["training.layer_deca"] == "training.layer_deca: unknown key; did you mean layer_decay?"
    assert "expected one of epochs" in by_key["training.learning_rate"]
    assert set(by_key) >= {"training.epochs", "training.lr"}
    assert len(found) == 13


@pytest.mark.parametrize(
    ("line", "mistake"),
    [
        (
            "split: {train: 0.6, val: 0.6, test: 0.2}",
            "positive shares with the sum 1, found 0.6, 0.6, 0.2",
        ),
        (
            "split: {train: 1.0, val: 0.0, test: 0}",
            "positive shares with the sum 1, found 1.0, 0.0, 0.0",
        ),
        ("split: {train: [a], val: 0.5, test: 0.5}", "all shares or all lists of subjects, found a mixture"),
        ("split: {train: [a, b], val: [b], test: [c]}", "expected each subject once, found twice: b"),
        ("split: {by: recording}", "split.by: expected 'subject', 'file', 'session' or 'event', found 'recording'"),
        ("split: {by: event}", "expected a list of events for each of train, val and test"),
        ("split: {by: event, train: ['1..9'], val: ['9..12'], test: ['13']}", "each event once, found twice: 9"),
        ("split: {train: 0.8, val: 0.3, test: {file: ['eval/*']}}", "positive shares with the sum 1, found 0.8, 0.3"),
        ("split: {train: 0.8, val: 0.2, test: {fil: ['eval/*']}}", "or {file: ["),
        ("split: {train: 0.8, val: 0.2, test: {file: []}}", "or {file: ["),
        ("{stride_s: 1, offset_s: 0.5}", "offset_s: expected stride_s (windows within events) or offset_s"),
        ("window_s: 17", "window_s: expected less than or equal to 16, found 17"),
        ("window_s: 2.5", "window_s: expected a valid integer"),
        ("classes: {rest: [T0]}", "classes: "),
        ("classes: {rest: [T0], left: [T0]}", "classes: expected each event label once, found twice: T0"),
        (
            "classes: {rest: [T0], left: []}",
            "one event label for each class, found none for left",
        ),
        ("sources: []", "sources: "),
    ],
)
def test_one_mistake(tmp_path: Path, line: str, mistake: str) -> None:
    keys = line.strip("{}").split(", ") if line.startswith("{") else [line]
    replaced = [key.split(":")[0] for key in keys]
    kept = [text for text in GOOD.splitlines() if text.split(":")[0] not in replaced]
    found = mistakes(tmp_path, "\n".join([*kept, *keys]))
    assert len(found) == 1
    assert mistake in found[0]


@pytest.mark.parametrize(
    ("keys", "mistake"),
    [
        ("classes: {a: [a], b: [b]}", "targets: expected classes (to tell events apart) or targets (to regress them)"),
        ("targets: [GHR, GHR]", "targets: expected each target once, found twice: GHR"),
        ("targets: knee", "targets: expected all, or a list of names such as [GHR, GKR], found 'knee'"),
        ("scale: 0", "scale: expected greater than 0, found 0"),
        ("scal: 90", "scal: unknown key; did you mean scale?"),
        ("events: []", "events: "),
        ("split: {by: event, train: [a], val: [b], test: [c]}", "split: expected events, the labels of those that"),
    ],
)
def test_one_mistake_about_targets(tmp_path: Path, keys: str, mistake: str) -> None:
    good = {"name": "name: angles", "targets": "targets: [GHR, GKR]", "window_s": "window_s: 2"}
    (found,) = mistakes(tmp_path, "\n".join((good | {keys.split(":", maxsplit=1)[0]: keys}).values()))
    assert found.startswith(mistake)


def test_targets_and_classes_exclude_each_other(tmp_path: Path) -> None:
    assert "found neither" in mistakes(tmp_path, "name: a\nwindow_s: 2")[0]
    found = mistakes(tmp_path, GOOD + "scale: 90\nevents: [T0]")
    assert found == [f"{key}: expected {key} with targets only, found it with classes" for key in ("scale", "events")]


@pytest.mark.parametrize(
    ("text", "message"), [("- a\n- b", "expected keys"), ("a: [", "expected YAML"), ("", "expected keys")]
)
def test_what_is_no_task(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(LabramError, match=message):
        load(tmp_path, text)
    with pytest.raises(LabramError, match="Cannot read the task"):
        load_task(tmp_path / "absent.yaml")


def test_the_documented_task_is_one_and_shows_the_defaults(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "task.md").read_text(encoding="utf-8")
    examples = [part.split("```")[0] for part in page.split("```yaml")[1:]]
    task, regression = load(tmp_path, examples[0]), load(tmp_path, examples[1])
    assert (regression.targets, regression.scale, regression.stride_s) == (("GHR", "GKR", "GAR"), 90, 0.05)
    assert task.training == Training()
    assert set(task.training.model_fields_set) == set(type(task.training).model_fields)
    assert task.classes == {"rest": ("T0",), "left": ("T1",), "right": ("T2",)}

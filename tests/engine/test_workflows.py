"""What a langgraph.json may hold, what its workflows take, and what is said when it is broken."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from autopilot_server.api.schema_check import SchemaChecks
from autopilot_server.engine.values import to_json
from autopilot_server.engine.workflows import Registry
from autopilot_server.jobs.errors import StartupError
from autopilot_server.jobs.job import Concurrency, Job, Workflow
from autopilot_server.jobs.states import JobState
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.runnables import RunnableConfig

from tests.engine.conftest import World

KINDS = Path(__file__).parent / "graphs" / "kinds" / "langgraph.json"
AUTOPILOT = Path(sys.executable).with_name("autopilot")

# The beginning of a module of a graph.
HEAD = """
import os
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

class State(TypedDict, total=False):
    text: str

def says(text):
    return StateGraph(State).add_node("say", lambda state: {"text": text}).add_edge(START, "say")
"""


@pytest.fixture(scope="module")
def kinds() -> Registry:
    return Registry.load(KINDS)


@asynccontextmanager
async def running(folder: Path, registry: Registry) -> AsyncIterator[World]:
    world = World(folder, registry)
    await world.open()
    try:
        world.start()
        yield world
    finally:
        await world.close()


async def finished(folder: Path, registry: Registry, workflow: str, graph_input: Any = None, **spec: Any) -> Any:
    """The output of a job, through the engine."""
    async with running(folder, registry) as world:
        job = await world.run(workflow, graph_input, **spec)
        return output(job)


def output(job: Job) -> Any:
    assert job.state is JobState.SUCCEEDED, job.error
    return json.loads(job.output or "")


def descriptor(registry: Registry, name: str) -> Workflow:
    return registry.get(name).descriptor


class Project:
    """A folder with a langgraph.json and modules."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "langgraph.json"

    def write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def load(self, content: Any) -> Registry:
        self.file.write_text(content if isinstance(content, str) else json.dumps(content))
        return Registry.load(self.file)

    def forget(self) -> None:
        """As a new process: none of the folder's modules is loaded."""
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None) or "").startswith(str(self.folder)):
                del sys.modules[name]
        importlib.invalidate_caches()


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    path, environment = list(sys.path), dict(os.environ)
    project = Project(tmp_path / "project")
    project.folder.mkdir()
    yield project
    project.forget()
    sys.path[:] = path
    os.environ.clear()
    os.environ.update(environment)


# --- what may be named ---

# Of the state `model`.
DEFAULTS = {"ratio": 0.5, "flag": False, "table": {}, "key": None, "bounded": 0, "choice": "a"}

RUNS: list[tuple[str, Any, dict[str, Any], Any]] = [
    ("compiled", {}, {}, {"text": "compiled"}),
    ("builder", {"text": "a "}, {}, {"text": "a builder"}),
    ("async_builder", {}, {}, {"text": "async"}),
    ("configured", {}, {}, {"text": "configured"}),
    ("factory", {}, {}, {"text": "factory"}),
    ("async_factory", {}, {}, {"text": "async factory"}),
    ("with_config", {}, {"thread_id": "t", "context": '{"tone":"warm"}'}, {"text": "warm t"}),
    ("async_with_config", {}, {"thread_id": "t", "context": '{"tone":"cold"}'}, {"text": "cold t"}),
    ("factory_object", {}, {"thread_id": "t"}, {"text": "None t"}),
    ("managed", {}, {}, {"text": "managed"}),
    ("async_managed", {}, {"context": '{"tone":"warm"}'}, {"text": "managed warm"}),
    ("upwards", {}, {}, {"text": "compiled"}),
    ("package", {"text": "it"}, {}, {"text": "reviewed it"}),
    ("plain", {"number": 1, "total": 5}, {}, {"number": 2, "words": ["seen"], "total": 15}),
    ("extended", {"number": 4, "own": "given"}, {}, {"number": 8, "own": ["given", "node"]}),
    ("later", {"words": ["a"]}, {}, {"words": ["a", "1"], "place": {"row": 7}}),
    ("data", {"number": 1, "label": "x"}, {}, {"number": 2, "label": "x", "words": ["x"], "total": 1}),
    (
        "model",
        {"number": "41", "points": [{"x": "1"}], "point": {"x": 5}, "when": "2024-05-01T00:00:00Z", "colour": "blue"},
        {},
        {
            "number": 2065,
            "name": "BLUE",
            "points": [{"x": 2, "y": 0}, {"x": 6, "y": 0}],
            "point": {"x": 5, "y": 0},
            "when": "2024-05-01T00:00:00Z",
            "colour": "blue",
            **DEFAULTS,
        },
    ),
    ("strict", {"number": 1}, {}, {"number": 2, "inner": {"x": 0, "y": 0}}),
    ("narrow", {"question": "why"}, {}, {"answer": "WHY"}),
    ("root", [7, 8], {}, [7, 8, 2]),
    ("tone_dataclass", {}, {"context": '{"tone":"warm","loud":2}'}, {"text": "warm!!"}),
    ("tone_dataclass", {}, {"context": "{}"}, {"text": "plain"}),
    ("tone_model", {}, {"context": '{"tone":"warm","loud":"2"}'}, {"text": "warm!!"}),
    ("tone_dict", {}, {"context": '{"tone":"warm","loud":2}'}, {"text": "warm!!"}),
    ("squares", [2, 3], {}, 13),
    ("squares_async", [2, 3], {}, [4, 9]),
    ("of_model", {"x": "3", "y": 1}, {}, {"squared": 10}),
    ("of_dataclass", {"number": 1, "words": ["a"]}, {}, ["none", "a"]),
    ("of_typed_dict", {"number": 6}, {}, 6),
    ("of_anything", [1, {"a": None}], {}, {"given": [1, {"a": None}]}),
    ("of_anything", False, {}, {"given": False}),
    ("of_context", 3, {"context": '{"tone":"warm"}'}, "warm 9"),
    ("remembers", 3, {}, "3 after None"),
]


@pytest.mark.parametrize(("workflow", "graph_input", "spec", "expected"), RUNS, ids=lambda value: str(value)[:30])
async def test_each_kind_of_workflow_runs(
    tmp_path: Path, kinds: Registry, workflow: str, graph_input: Any, spec: dict[str, Any], expected: Any
) -> None:
    assert await finished(tmp_path, kinds, workflow, graph_input, **spec) == expected


def test_each_kind_of_workflow_is_run_above(kinds: Registry) -> None:
    tested_below = {"messages", "chat_model"}
    assert {run[0] for run in RUNS} | tested_below == set(kinds.revisions)


@pytest.mark.parametrize(
    "said",
    ["hi", ["hi"], [["user", "hi"]], {"role": "user", "content": "hi"}, [{"type": "human", "content": "hi"}]],
    ids=str,
)
async def test_messages_in_every_form(tmp_path: Path, kinds: Registry, said: Any) -> None:
    found = await finished(tmp_path, kinds, "messages", {"messages": said})
    assert [(message["type"], message["content"]) for message in found["messages"]] == [
        ("human", "hi"),
        ("ai", "heard hi"),
    ]


async def test_messages_in_a_model(tmp_path: Path, kinds: Registry) -> None:
    found = await finished(tmp_path, kinds, "chat_model", {"messages": [{"type": "human", "content": "hi"}]})
    assert [message["content"] for message in found["messages"]] == ["hi", "1"]


async def test_what_an_entrypoint_saves_is_there_for_the_thread_s_next_job(tmp_path: Path, kinds: Registry) -> None:
    async with running(tmp_path, kinds) as world:
        assert output(await world.run("remembers", 3, thread_id="t")) == "3 after None"
        assert output(await world.run("remembers", 4, thread_id="t")) == "4 after 3"


async def test_a_factory_is_called_for_each_run_and_its_context_left(tmp_path: Path, kinds: Registry) -> None:
    made: list[str] = module_at(KINDS.with_name("kinds.py")).MADE
    async with running(tmp_path, kinds) as world:
        made.clear()
        for workflow in ("factory", "factory", "managed"):
            assert output(await world.run(workflow, {})) == {"text": workflow}
        assert made == ["factory", "factory", "managed in", "managed out"]


def module_at(file: Path) -> ModuleType:
    """The loaded module of a file, whatever its name is."""
    return next(module for module in sys.modules.values() if getattr(module, "__file__", None) == str(file))


def test_clients_are_told_what_the_file_says(kinds: Registry) -> None:
    package = descriptor(kinds, "package")
    assert package.description == "Reviews a text."
    assert (package.retry_policy.max_attempts, package.retry_policy.initial_backoff) == (5, 250_000)
    assert package.concurrency == Concurrency(jobs=7, per_key=2)
    assert descriptor(kinds, "narrow").concurrency == Concurrency()
    assert package.steps == ("review",)
    assert "review" in package.mermaid
    assert json.loads(package.output_schema)["properties"] == {"text": {"type": "string"}}
    narrow = descriptor(kinds, "narrow")
    assert set(json.loads(narrow.input_schema)["properties"]) == {"question"}
    assert set(json.loads(narrow.output_schema)["properties"]) == {"answer"}


def test_every_schema_is_one(kinds: Registry) -> None:
    from jsonschema import Draft202012Validator

    for workflow in kinds.descriptors:
        for schema in (workflow.input_schema, workflow.output_schema, workflow.context_schema or "{}"):
            Draft202012Validator.check_schema(json.loads(schema))


# --- dependencies, env, keys ---


async def test_dependencies_are_importable_wherever_the_server_was_started(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write(
        {
            "service/flows_of_mine/__init__.py": "",
            "service/flows_of_mine/first.py": f"{HEAD}\nfrom words_of_mine import WORD\ngraph = says(WORD)",
            "shared/words_of_mine.py": "WORD = 'shared'",
            "service/second.py": f"{HEAD}\nfrom words_of_mine import WORD\ngraph = says(WORD + ' again')",
        }
    )
    monkeypatch.chdir(tmp_path)
    project.file = project.folder / "service" / "langgraph.json"
    registry = project.load(
        {
            "dependencies": ["../shared", "langgraph"],
            "graphs": {"first": "flows_of_mine.first:graph", "second": "second.py:graph"},
        }
    )
    assert await finished(tmp_path, registry, "first", {}) == {"text": "shared"}
    assert await finished(tmp_path, registry, "second", {}) == {"text": "shared again"}


async def test_files_of_one_name_in_two_folders(project: Project, tmp_path: Path) -> None:
    project.write({f"{name}/graph.py": f"{HEAD}\ngraph = says({name!r})" for name in ("one", "two")})
    registry = project.load({"graphs": {name: f"./{name}/graph.py:graph" for name in ("one", "two")}})
    for name in ("one", "two"):
        assert await finished(tmp_path, registry, name, {}) == {"text": name}


SHOWS = f"""{HEAD}
AT_IMPORT = os.environ["OF_THE_FILE"]
def show(state):
    return {{"text": " ".join([AT_IMPORT, os.environ["OF_BOTH"], os.environ["OF_THE_PROCESS"], os.environ["NUMBER"]])}}
graph = StateGraph(State).add_node("show", show).add_edge(START, "show")
"""


@pytest.mark.parametrize(
    "env",
    [{"OF_THE_FILE": "file", "OF_BOTH": "file", "NUMBER": 1.5}, "variables.env"],
    ids=["mapping", "file"],
)
async def test_env_wins_over_the_process(project: Project, tmp_path: Path, env: Any) -> None:
    project.write({"shows.py": SHOWS, "variables.env": "# why\nOF_THE_FILE=file\nOF_BOTH='file'\nNUMBER=1.5\nEMPTY\n"})
    os.environ.update({"OF_BOTH": "process", "OF_THE_PROCESS": "process"})
    registry = project.load({"env": env, "graphs": {"shows": "./shows.py:graph"}})
    assert await finished(tmp_path, registry, "shows", {}) == {"text": "file file process 1.5"}


def test_keys_without_a_meaning_are_named_once(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    project.write({"mine.py": f"{HEAD}\ngraph = says('x')"})
    entry = {"path": "./mine.py:graph", "colour": "red"}
    project.load({"graphs": {"mine": entry}, "python_version": "3.12", "http": {}})
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 2
    assert "http, python_version" in warnings[0]
    assert "mine" in warnings[1]
    assert "colour" in warnings[1]


async def test_a_graph_with_a_checkpointer_of_its_own_uses_the_server_s(
    project: Project, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    project.write(
        {
            "own.py": f"{HEAD}\nfrom langgraph.checkpoint.memory import InMemorySaver\n"
            "saver = InMemorySaver()\ngraph = says('x').compile(checkpointer=saver)\n"
            "def kept():\n    return len(saver.storage)\n"
        }
    )
    registry = project.load({"graphs": {"own": "./own.py:graph"}})
    assert "checkpointer of its own" in caplog.text
    async with running(tmp_path, registry) as world:
        job = await world.run("own", {})
        assert output(job) == {"text": "x"}
        assert job.checkpoint_id
    assert module_at(project.folder / "own.py").kept() == 0


def test_what_a_checkpoint_cannot_hold_is_said_at_start(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    state = "class Odd:\n    pass\nclass Bad(State):\n    odd: dict[str, Odd]\n"
    graph = "graph = StateGraph(Bad).add_node('n', lambda s: {}).add_edge(START, 'n')"
    project.write({"odd.py": f"{HEAD}\n{state}{graph}"})
    project.load({"graphs": {"odd": "./odd.py:graph"}})
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "workflow odd" in warning
    assert "field odd" in warning
    assert ".Odd" in warning


def test_the_revision_follows_the_sources(project: Project) -> None:
    content = {"graphs": {"one": "./flow.py:graph", "two": "./flow.py:graph"}}
    project.write(
        {
            "flow.py": f"{HEAD}\nfrom helper_of_mine import WORD\ngraph = says(WORD)",
            "helper_of_mine.py": "WORD = 'a'",
        }
    )
    first = project.load(content).revisions
    assert first["one"] != first["two"]
    project.forget()
    assert project.load(content).revisions == first
    project.forget()
    project.write({"helper_of_mine.py": "WORD = 'b'"})
    changed = project.load(content).revisions
    assert changed["one"] != first["one"]
    assert changed["two"] != first["two"]


# --- inputs ---


def each(field: str, *values: Any) -> list[Any]:
    """Inputs with each of the values."""
    first = {} if field == "messages" else {"number": 1}
    return [first | {field: value} for value in values]


TAKEN: list[tuple[str, list[Any]]] = [
    ("compiled", [{}, {"text": ""}, {"text": "ä"}, {"text": "x", "unknown": [1]}]),
    (
        "plain",
        [
            {"number": 1},
            {"number": -(2**63)},
            {"number": 1, "words": []},
            {"number": 1, "words": ["a"], "total": 0, "more": None},
        ],
    ),
    (
        "extended",
        [
            {"number": 1},
            *each("either", 1, "1", None),
            *each("inner", {}, {"number": 1}, {"words": ["a"], "total": 1}),
            *each("choice", "a", "b"),
            *each("mapping", {}, {"a": 1}, {"a": 1.5}),
            *each("anything", None, 1, "x", [], {"a": [None]}),
            *each("own", None, 1, "x", [], [1, "x"], {"a": 1}),
        ],
    ),
    ("later", [{"words": []}, {"words": ["a"], "place": None}, {"words": [], "place": {"row": 1}}]),
    (
        "data",
        [
            {"number": 1},
            {"number": 1, "label": "x", "words": ["a"], "total": 3},
            {"number": 1, "unknown": 1},
        ],
    ),
    (
        "model",
        [
            *each("number", 1, 1.0, "1", " 1 ", "-1", "+1", "1_000", "1.0", True),
            *each("ratio", 1, 1.5, "1.5", "1e3", "1", False),
            *each("flag", True, 0, 1, 1.0, "yes", "off", "T", "1"),
            *each("name", None, "", "x"),
            *each("point", None, {"x": 1}, {"x": "1", "y": 2.0}, {"x": 1, "z": 1}),
            *each("points", [], [{"x": 1}, {"x": 2}]),
            *each("table", {}, {"a": 1}, {"a": "1"}),
            *each("colour", "red", "blue"),
            *each("when", None, "2024-05-01T10:00:00Z", "2024-05-01", "1714521600"),
            *each("key", None, "12345678-1234-5678-1234-567812345678"),
            *each("bounded", 0, 10, "5"),
            {"number": 1, "unknown": 1},
        ],
    ),
    ("strict", [{"number": 1}, {"number": 1, "inner": {"x": 1}}, {"number": 1, "unknown": 1}]),
    (
        "messages",
        [
            {},
            *each("messages", "hi", [], ["hi", "there"], [["user", "hi"], ["ai", "there"]]),
            *each("messages", {"role": "user", "content": "hi"}, {"type": "human", "content": "x"}),
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]},
        ],
    ),
    ("chat_model", [{"messages": []}, {"messages": [{"type": "human", "content": "hi"}]}]),
    ("narrow", [{"question": "x"}, {"question": "x", "answer": "ignored"}]),
    ("root", [[], [1, "a", None]]),
    ("squares", [[], [1, 2]]),
    ("of_model", [{"x": 1}, {"x": "1", "y": 2.0}, {"x": 1, "unknown": 1}]),
    ("of_dataclass", [{"number": 1}, {"number": 1, "label": "x", "words": []}]),
    ("of_typed_dict", [{"number": 1}, {"number": 1, "words": ["x"]}]),
    ("of_anything", [1, "x", [], {}, {"a": 1}, 1.5, True]),
    ("of_context", [1, -(2**31)]),
]


@pytest.mark.parametrize(("workflow", "inputs"), TAKEN, ids=[workflow for workflow, _ in TAKEN])
async def test_what_invoke_takes_is_taken(kinds: Registry, tmp_path: Path, workflow: str, inputs: list[Any]) -> None:
    """The schema lets it pass, and the job gives what `invoke` gives."""
    checks = SchemaChecks()
    async with running(tmp_path, kinds) as world:
        for graph_input in inputs:
            expected = await invoked(kinds, workflow, graph_input)
            text = json.dumps(graph_input)
            assert checks.violations(text, descriptor(kinds, workflow).input_schema, "input") == [], text
            job = await world.run(workflow, graph_input, context="{}" if workflow == "of_context" else None)
            assert without_ids(output(job)) == without_ids(expected), text


async def invoked(registry: Registry, workflow: str, graph_input: Any) -> Any:
    """What LangGraph gives for an input.

    In the form of its version 2, which has a model's defaults in it. Parameters of the functional API, which LangGraph
    does not convert, are given as the object that the JSON stands for.
    """
    loaded = registry.get(workflow)
    config = RunnableConfig(configurable={"thread_id": "t"})
    async with loaded.open(config) as graph:
        is_functional = getattr(graph, "builder", None) is None
        value = loaded.parse_input(json.dumps(graph_input)) if is_functional else graph_input
        context: Any = {} if graph.context_schema is not None else None
        return json.loads(to_json((await graph.ainvoke(value, config, context=context, version="v2")).value))


def without_ids(value: Any) -> Any:
    """Messages get a new id in each run."""
    match value:
        case dict():
            return {key: without_ids(item) for key, item in value.items() if key != "id"}
        case list():
            return [without_ids(item) for item in value]
        case _:
            return value


# Refused by `invoke`, too: a model checks its fields, and a step cannot be given a state without them.
REFUSED: list[tuple[str, Any, str]] = [
    ("data", {}, "input"),
    ("data", {"label": "x"}, "input"),
    ("model", {}, "input"),
    ("model", {"ratio": 1}, "input"),
    ("model", {"number": None}, "input.number"),
    ("model", {"number": "x"}, "input.number"),
    ("model", {"number": []}, "input.number"),
    ("model", {"number": 1, "ratio": "much"}, "input.ratio"),
    ("model", {"number": 1, "flag": None}, "input.flag"),
    ("model", {"number": 1, "name": 1}, "input.name"),
    ("model", {"number": 1, "point": {}}, "input.point"),
    ("model", {"number": 1, "points": [{"x": 1}, {"x": "y"}]}, "input.points[1].x"),
    ("model", {"number": 1, "points": {"x": 1}}, "input.points"),
    ("model", {"number": 1, "table": {"a": "b"}}, "input.table.a"),
    ("model", {"number": 1, "colour": "green"}, "input.colour"),
    ("model", {"number": 1, "when": []}, "input.when"),
    ("model", {"number": 1, "bounded": 11}, "input.bounded"),
    ("model", {"number": 1, "bounded": -1}, "input.bounded"),
    ("model", {"number": 1, "choice": "c"}, "input.choice"),
    ("strict", {"number": None}, "input.number"),
    ("strict", {"number": 1, "inner": {}}, "input.inner"),
    ("messages", {"messages": 1}, "input.messages"),
    ("root", {"a": 1}, "input"),
    ("of_model", {}, "input"),
    ("of_model", {"x": "y"}, "input.x"),
    ("of_model", [1], "input"),
    ("of_dataclass", {"words": []}, "input"),
    ("of_dataclass", {"number": "x"}, "input.number"),
    *((workflow, value, "input") for workflow in ("plain", "data", "model", "messages") for value in (1, "x", [1])),
]


@pytest.mark.parametrize(("workflow", "graph_input", "field"), REFUSED, ids=str)
async def test_what_invoke_does_not_take_is_refused(
    kinds: Registry, workflow: str, graph_input: Any, field: str
) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011 - each kind of state refuses in its own way
        await invoked(kinds, workflow, graph_input)
    assert field in refused_fields(descriptor(kinds, workflow).input_schema, graph_input)


def refused_fields(schema: str, value: Any) -> set[str]:
    violations = SchemaChecks().violations(json.dumps(value), schema, "input")
    assert all(violation.description for violation in violations)
    return {violation.field for violation in violations}


# LangGraph does not look at the fields of a TypedDict or a dataclass; their declared types do.
MISTYPED: list[tuple[str, Any, str]] = [
    ("compiled", {"text": 1}, "input.text"),
    ("plain", {"number": "1"}, "input.number"),
    ("plain", {"number": 1, "words": ["a", 1]}, "input.words[1]"),
    ("plain", {"number": 1, "total": "x"}, "input.total"),
    ("extended", {"number": 1, "either": []}, "input.either"),
    ("extended", {"number": 1, "inner": {"words": [1]}}, "input.inner.words[0]"),
    ("extended", {"number": 1, "choice": "c"}, "input.choice"),
    ("extended", {"number": 1, "mapping": {"a": "b"}}, "input.mapping.a"),
    ("later", {"words": [1]}, "input.words[0]"),
    ("data", {"number": 1, "words": "x"}, "input.words"),
    ("narrow", {"question": None}, "input.question"),
    ("squares", [1, "x"], "input[1]"),
    ("of_typed_dict", {"number": "x"}, "input.number"),
    ("of_context", "x", "input"),
]


@pytest.mark.parametrize(("workflow", "graph_input", "field"), MISTYPED, ids=str)
def test_what_the_declared_types_do_not_take_is_refused(
    kinds: Registry, workflow: str, graph_input: Any, field: str
) -> None:
    assert refused_fields(descriptor(kinds, workflow).input_schema, graph_input) == {field}


def test_every_violation_is_told(kinds: Registry) -> None:
    graph_input = {"ratio": "x", "points": [{}, {"x": 1}, {"x": "y"}]}
    fields = refused_fields(descriptor(kinds, "model").input_schema, graph_input)
    assert fields == {"input", "input.ratio", "input.points[0]", "input.points[2].x"}


CONTEXTS: list[tuple[str, Any, bool]] = [
    ("tone_dataclass", {}, True),
    ("tone_dataclass", {"tone": "x", "loud": 1}, True),
    ("tone_dataclass", {"tone": 1}, False),
    ("tone_dataclass", {"unknown": 1}, False),
    ("tone_model", {"loud": "1"}, True),
    ("tone_model", {"unknown": 1}, True),
    ("tone_model", {"loud": "much"}, False),
    ("tone_dict", {"unknown": 1}, True),
    ("tone_dict", {"loud": "1"}, False),
]


@pytest.mark.parametrize(("workflow", "context", "taken"), CONTEXTS, ids=str)
def test_contexts(kinds: Registry, workflow: str, context: Any, taken: bool) -> None:
    schema = descriptor(kinds, workflow).context_schema
    assert schema is not None
    assert (refused_fields(schema, context) == set()) is taken


# Without letters of numbers: how a float is written in text is not all that its schema says.
WORDS = st.one_of(st.text("abc xyzä", max_size=4), st.sampled_from(["1", " 1", "-3", "1.0", "1e3", "yes", "red", "b"]))
PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), WORDS)
ANYTHING = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.one_of(WORDS, st.sampled_from(["x", "y"])), inner, max_size=2)
    ),
    max_leaves=4,
)
FIELDS = st.sampled_from(["number", "ratio", "flag", "name", "point", "points", "table", "colour", "bounded", "choice"])


@given(graph_input=st.dictionaries(FIELDS, ANYTHING, max_size=4).map(lambda given: {"number": 1, **given}))
@settings(max_examples=300, deadline=None)
def test_no_input_that_invoke_takes_is_refused(kinds: Registry, graph_input: dict[str, Any]) -> None:
    try:
        module_at(KINDS.with_name("kinds.py")).model.compile().invoke(graph_input)
    except Exception:
        return
    assert refused_fields(descriptor(kinds, "model").input_schema, graph_input) == set()


# --- broken files ---

GRAPHS = {"mine": "./mine.py:graph"}
GOOD = {"mine.py": f"{HEAD}\ngraph = says('x')"}


def module(text: str) -> dict[str, str]:
    return {"mine.py": f"{HEAD}\n{text}"}


# Files, langgraph.json, and what the error says of what is wrong.
BROKEN: dict[str, tuple[dict[str, str], Any, list[str]]] = {
    # The file itself.
    "not JSON": ({}, '{"graphs": ', ["is not JSON", "line 1"]),
    "a comment": ({}, '// graphs\n{"graphs": {}}', ["is not JSON"]),
    "nested without end": ({}, "[" * 100_000, ["is not JSON"]),
    "a list": ({}, [], ["JSON object"]),
    "no graphs": ({}, {}, ['"graphs"', "./file.py:variable"]),
    "empty graphs": ({}, {"graphs": {}}, ['"graphs"', "./file.py:variable"]),
    "graphs as a list": ({}, {"graphs": ["./mine.py:graph"]}, ['"graphs"', "./file.py:variable"]),
    "auth": (GOOD, {"graphs": GRAPHS, "auth": {"path": "x:y"}}, ["'auth'", "remove it"]),
    "encryption": (GOOD, {"graphs": GRAPHS, "encryption": {}}, ["'encryption'", "remove it"]),
    # Its entries.
    "a name with a space": (GOOD, {"graphs": {"a b": "./mine.py:graph"}}, ["'a b'", "characters"]),
    "an empty name": (GOOD, {"graphs": {"": "./mine.py:graph"}}, ["''", "characters"]),
    "a long name": (GOOD, {"graphs": {"n" * 101: "./mine.py:graph"}}, ["characters"]),
    "a number for a path": ({}, {"graphs": {"mine": 1}}, ["'mine'", "./file.py:variable"]),
    "null for a path": ({}, {"graphs": {"mine": None}}, ["'mine'", "./file.py:variable"]),
    "no path": ({}, {"graphs": {"mine": {"description": "x"}}}, ["'mine'", "./file.py:variable"]),
    "no variable": ({}, {"graphs": {"mine": "./mine.py"}}, ["'mine'", "./file.py:variable"]),
    "an empty variable": ({}, {"graphs": {"mine": "./mine.py:"}}, ["'mine'", "./file.py:variable"]),
    "no file name": ({}, {"graphs": {"mine": ":graph"}}, ["'mine'", "./file.py:variable"]),
    "a variable of a variable": ({}, {"graphs": {"mine": "./mine.py:a.b"}}, ["'mine'", "./file.py:variable"]),
    "a description that is none": (
        {},
        {"graphs": {"mine": {"path": "m:g", "description": 1}}},
        ["description", "text"],
    ),
    "an unknown retry": (
        {},
        {"graphs": {"mine": {"path": "m:g", "retry_policy": {"tries": 1}}}},
        ["'mine'", "retry_policy", "max_attempts"],
    ),
    "too few attempts": (
        {},
        {"graphs": {"mine": {"path": "m:g", "retry_policy": {"max_attempts": 0}}}},
        ["'mine'", "retry_policy.max_attempts", "from 1"],
    ),
    "a backoff in words": (
        {},
        {"graphs": {"mine": {"path": "m:g", "retry_policy": {"initial_backoff_seconds": "1s"}}}},
        ["retry_policy.initial_backoff_seconds", "a number"],
    ),
    "an endless backoff": (
        {},
        '{"graphs": {"mine": {"path": "m:g", "retry_policy": {"max_backoff_seconds": Infinity}}}}',
        ["retry_policy.max_backoff_seconds", "a number"],
    ),
    **{
        f"checkpoints to keep: {value}": (
            {},
            f'{{"graphs": {{"mine": {{"path": "m:g", "keep_checkpoints": {value}}}}}}}',
            ["'mine'", "keep_checkpoints is", '"newest_when_succeeded"', '{"last": 20}'],
        )
        for value in ("3", '"some"', "{}", '{"last": 0}', '{"last": true}', '{"last": 1.5}', '{"last": 2, "first": 1}')
    },
    "a history that is needed": (
        module(
            "from typing import Annotated\n"
            "from langgraph.channels.delta import DeltaChannel\n"
            "class Log(TypedDict):\n"
            "    log: Annotated[list, DeltaChannel(lambda old, new: [*old, *sum(new, [])])]\n"
            "inner = StateGraph(Log).add_node('add', lambda _: {'log': [1]}).add_edge(START, 'add').compile()\n"
            "graph = StateGraph(State).add_node('step', lambda _: inner.invoke({})).add_edge(START, 'step')"
        ),
        {"graphs": {"mine": {"path": "./mine.py:graph", "keep_checkpoints": {"last": 5}}}},
        ["'mine'", "./mine.py:graph", 'keep_checkpoints must be "all"', "DeltaChannel"],
    ),
    # Its other keys.
    "dependencies as a text": (GOOD, {"graphs": GRAPHS, "dependencies": "."}, ["dependencies", "list of texts"]),
    "a number among the dependencies": (GOOD, {"graphs": GRAPHS, "dependencies": [1]}, ["dependencies", "list of"]),
    "a missing dependency": (GOOD, {"graphs": GRAPHS, "dependencies": ["./lib"]}, ["dependencies", "no folder", "lib"]),
    "a missing env file": (GOOD, {"graphs": GRAPHS, "env": "no.env"}, ["env", "no file", "no.env"]),
    "env as a list": (GOOD, {"graphs": GRAPHS, "env": ["A=1"]}, ["env", "path of a .env file"]),
    "an env value that is none": (GOOD, {"graphs": GRAPHS, "env": {"A": None}}, ["env", "names and values"]),
    # The graphs.
    "a missing file": ({}, {"graphs": GRAPHS}, ["'mine'", "no file", "mine.py"]),
    "a folder": ({"folder/x.py": ""}, {"graphs": {"mine": "./folder:graph"}}, ["'mine'", "no file", "folder"]),
    "no Python": ({"mine.txt": "x"}, {"graphs": {"mine": "./mine.txt:graph"}}, ["mine.txt", "no Python file"]),
    "a missing module": (
        {},
        {"graphs": {"mine": "not.there:graph"}},
        ["'mine'", "not.there:graph", "cannot be imported", "ModuleNotFoundError", "'not'"],
    ),
    "a missing attribute": (module(""), {"graphs": GRAPHS}, ["'mine'", "./mine.py:graph", "no variable 'graph'"]),
    "a syntax error": (module("def ("), {"graphs": GRAPHS}, ["'mine'", "cannot be imported", "SyntaxError", "mine.py"]),
    "an import error": (
        module("import package_that_nobody_has"),
        {"graphs": GRAPHS},
        ["'mine'", "./mine.py", "cannot be imported", "ModuleNotFoundError", "package_that_nobody_has"],
    ),
    "an import that raises": (
        module("raise RuntimeError('first line\\nsecond line')"),
        {"graphs": GRAPHS},
        ["'mine'", "cannot be imported", "RuntimeError: first line second line"],
    ),
    "a missing variable of the environment": (
        module("os.environ['KEY_THAT_NOBODY_SET']"),
        {"graphs": GRAPHS},
        ["'mine'", "cannot be imported", "KeyError", "KEY_THAT_NOBODY_SET"],
    ),
    "no graph": (
        module("graph = 7"),
        {"graphs": GRAPHS},
        ["is neither a graph nor a function that makes one", "type int"],
    ),
    "a runnable": (
        module("from langchain_core.runnables import RunnableLambda\ngraph = RunnableLambda(len)"),
        {"graphs": GRAPHS},
        ["'mine'", "is neither a graph nor a function that makes one", "type RunnableLambda"],
    ),
    "a graph that does not compile": (
        module("graph = StateGraph(State)"),
        {"graphs": GRAPHS},
        ["'mine'", "cannot be loaded", "entrypoint"],
    ),
    "no checkpoints": (
        module("graph = says('x').compile(checkpointer=False)"),
        {"graphs": GRAPHS},
        ["'mine'", "checkpointer=False", "needs its checkpoints"],
    ),
    # Its functions.
    "a function of two": (
        module("def graph(config, runtime):\n    return says('x')"),
        {"graphs": GRAPHS},
        ["'mine'", "a config or nothing", "2 arguments"],
    ),
    "a function of LangGraph's server": (
        module("class ServerRuntime: ...\ndef graph(runtime: ServerRuntime):\n    return says('x')"),
        {"graphs": GRAPHS},
        ["'mine'", "ServerRuntime"],
    ),
    "a function that gives no graph": (
        module("def graph():\n    return {'nodes': []}"),
        {"graphs": GRAPHS},
        ["'mine'", "the function gave a dict, not a graph"],
    ),
    "a function that forgets": (
        module("async def graph():\n    says('x')"),
        {"graphs": GRAPHS},
        ["'mine'", "the function gave a NoneType, not a graph"],
    ),
    "a generator": (
        module("async def graph():\n    yield says('x')"),
        {"graphs": GRAPHS},
        ["'mine'", "the function gave a async_generator"],
    ),
    "a function that raises": (
        module("def graph():\n    raise ValueError('which\\nmodel?')"),
        {"graphs": GRAPHS},
        ["'mine'", "./mine.py:graph", "cannot be loaded: ValueError: which model?"],
    ),
    "an async function that raises": (
        module("async def graph(config: RunnableConfig):\n    raise ConnectionError('no database')"),
        {"graphs": GRAPHS},
        ["'mine'", "./mine.py:graph", "cannot be loaded: ConnectionError: no database"],
    ),
    "a context manager that raises": (
        module(
            "from contextlib import asynccontextmanager\n@asynccontextmanager\nasync def graph():\n"
            "    raise ConnectionError('no database')\n    yield says('x')"
        ),
        {"graphs": GRAPHS},
        ["'mine'", "cannot be loaded: ConnectionError: no database"],
    ),
    "a context manager of no graph": (
        module("from contextlib import contextmanager\n@contextmanager\ndef graph():\n    yield 7"),
        {"graphs": GRAPHS},
        ["'mine'", "the function gave a int, not a graph"],
    ),
    "the second of two": (
        GOOD,
        {"graphs": GRAPHS | {"other": "./mine.py:grapf"}},
        ["'other'", "./mine.py:grapf", "no variable 'grapf'"],
    ),
}


@pytest.mark.parametrize(("files", "content", "said"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_explained_in_one_line(
    project: Project, files: dict[str, str], content: Any, said: list[str]
) -> None:
    project.write(files)
    with pytest.raises(StartupError) as caught:
        project.load(content)
    message = str(caught.value)
    assert "\n" not in message
    assert str(project.folder) in message
    for part in said:
        assert part in message


def test_a_file_that_is_not_there(project: Project) -> None:
    with pytest.raises(StartupError, match=r"^there is no .*langgraph\.json: .*--config$"):
        Registry.load(project.file)


def test_files_that_cannot_be_read(project: Project) -> None:
    with pytest.raises(StartupError, match=r"project is a folder: give .* with --config"):
        Registry.load(project.folder)
    project.file.write_bytes(b'{"graphs": "\xff"}')
    with pytest.raises(StartupError, match=r"^cannot read .*langgraph\.json"):
        Registry.load(project.file)


async def test_a_module_that_could_not_be_imported_can_be_mended(project: Project, tmp_path: Path) -> None:
    project.write(module("raise RuntimeError('not yet')"))
    with pytest.raises(StartupError, match="not yet"):
        project.load({"graphs": GRAPHS})
    # Of another size: what Python compiled is told from its source by time and size.
    project.write(module("graph = says('mended')"))
    registry = project.load({"graphs": GRAPHS})
    assert await finished(tmp_path, registry, "mine", {}) == {"text": "mended"}


def test_the_server_says_it_in_one_line_and_stops(project: Project) -> None:
    project.write(module("async def graph():\n    raise ConnectionError('no database')"))
    project.file.write_text(json.dumps({"graphs": GRAPHS}))
    served = subprocess.run(
        [AUTOPILOT, "serve", "--config", project.file, "--database", f"sqlite:///{project.folder}/jobs.db"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert served.returncode == 2
    assert served.stdout == ""
    assert served.stderr == (
        f"autopilot: {project.file}: graph 'mine': ./mine.py:graph: cannot be loaded: ConnectionError: no database\n"
    )
    assert not (project.folder / "jobs.db").exists()


@pytest.mark.parametrize(
    ("first", "second"),
    [("a/b.py", "a__b.py"), ("a_/b.py", "a/_b.py"), ("a__/b.py", "a/__b.py"), ("a/_%5f.py", "a/__.py")],
)
async def test_files_of_other_names_are_other_modules(
    project: Project, tmp_path: Path, first: str, second: str
) -> None:
    project.write({first: f"{HEAD}\ngraph = says('first')", second: f"{HEAD}\ngraph = says('second')"})
    registry = project.load({"graphs": {"first": f"./{first}:graph", "second": f"./{second}:graph"}})
    for name in ("first", "second"):
        assert await finished(tmp_path, registry, name, {}) == {"text": name}

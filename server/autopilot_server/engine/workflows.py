"""The workflows that this process can run: loaded once, described for clients, opened for each run."""

import asyncio
import importlib
import importlib.util
import inspect
import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.serde._msgpack import SAFE_MSGPACK_TYPES
from langgraph.graph import StateGraph
from langgraph.pregel import Pregel
from pydantic import BaseModel, TypeAdapter

from autopilot_server.engine import langgraph_json, outline
from autopilot_server.engine.failures import text_of
from autopilot_server.engine.langgraph_json import GraphEntry
from autopilot_server.engine.revision import local_files, revision
from autopilot_server.engine.schemas import Described, describe, field_types, unrestorable
from autopilot_server.jobs.errors import StartupError
from autopilot_server.jobs.job import Json, KeptCheckpoints, Workflow

log = logging.getLogger(__name__)

Graph = Pregel[Any, Any, Any, Any]
Factory = Callable[..., Any]


class LoadedWorkflow:
    """A workflow, ready to run."""

    def __init__(
        self,
        descriptor: Workflow,
        graph: Graph | None,
        factory: Factory | None,
        *,
        input_type: Any,
        kept_checkpoints: KeptCheckpoints,
    ) -> None:
        """A compiled graph that all runs share, or a factory that makes one for each run."""
        self.descriptor, self.kept_checkpoints = descriptor, kept_checkpoints
        self._graph, self._factory = graph, factory
        self._input: TypeAdapter[Any] | None = TypeAdapter(input_type) if input_type is not None else None

    @asynccontextmanager
    async def open(self, config: RunnableConfig) -> AsyncIterator[Graph]:
        """The graph for one run."""
        if self._graph is not None:
            yield self._graph
            return
        assert self._factory is not None  # noqa: S101 - one of the two is given
        async with _made(self._factory, config) as graph:
            yield graph

    def parse_input(self, text: Json | None) -> Any:
        """What `graph.invoke` takes, from JSON text. A workflow of the functional API whose parameter is a model or a
        dataclass gets one."""
        value = None if text is None else json.loads(text)
        return value if self._input is None else self._input.validate_python(value)


class Registry:
    """The workflows of a `langgraph.json`."""

    def __init__(self, workflows: Mapping[str, LoadedWorkflow], *, files: Sequence[Path] = ()) -> None:
        """By name. `files`: what they were loaded from."""
        self._workflows = dict(workflows)
        self.files = files
        self.revisions: Mapping[str, str] = {name: w.descriptor.revision for name, w in self._workflows.items()}

    @classmethod
    def load(cls, path: Path) -> "Registry":
        """Load every graph of the file. StartupError, one line, with the file, the variable and the reason."""
        configuration = langgraph_json.read(path)
        langgraph_json.apply_environment(configuration)
        folders = [configuration.folder, *configuration.dependencies]
        for folder in folders:
            if str(folder) not in sys.path:
                sys.path.append(str(folder))
        targets = [(entry, _target(configuration.folder, path, entry)) for entry in configuration.graphs]
        # Only now all of the project's modules are loaded.
        files = local_files(folders)
        sources = {name: file.read_bytes() for name, file in files.items()}
        loaded = {entry.name: _load(path, entry, target, sources) for entry, target in targets}
        return cls(loaded, files=(path.absolute(), *configuration.files, *files.values()))

    def only(self, names: Collection[str]) -> "Registry":
        """Some of them."""
        return Registry({name: workflow for name, workflow in self._workflows.items() if name in names})

    @property
    def descriptors(self) -> Sequence[Workflow]:
        """What clients may know of the workflows."""
        return [workflow.descriptor for workflow in self._workflows.values()]

    def get(self, name: str) -> LoadedWorkflow:
        """A workflow. KeyError when there is none of the name."""
        return self._workflows[name]


# --- finding the variable ---


def _target(folder: Path, path: Path, entry: GraphEntry) -> Any:
    where = f"{path}: graph {entry.name!r}: {entry.location}:{entry.variable}"
    try:
        module = _module(folder, entry.location)
        found = hasattr(module, entry.variable)
        target = getattr(module, entry.variable, None)
    except FileNotFoundError:
        raise StartupError(f"{where}: there is no file {folder / entry.location}") from None
    except StartupError:
        raise
    except (Exception, SystemExit) as error:
        # Whatever the user's module raises while it is imported: a script that calls sys.exit must not end the server
        # without a word.
        log.debug("cannot import %s", entry.location, exc_info=error)
        raise StartupError(f"{where}: cannot be imported: {error_line(error)}") from error
    if not found:
        raise StartupError(f"{where}: the module has no variable {entry.variable!r}")
    return target


def _escaped(part: str) -> str:
    """A part of a path such that "__" between parts is the only one: other files get other names."""
    part = part.replace("%", "%25").replace("__", "_%5f").replace("..", "%2e%2e")
    part = "%5f" + part[1:] if part.startswith("_") else part
    return part[:-1] + "%5f" if part.endswith("_") else part


def _module(folder: Path, location: str) -> ModuleType:
    """As LangGraph's loader: what has a slash, or ends in .py, is a file; anything else an importable module."""
    if "/" not in location and not location.endswith(".py"):
        return importlib.import_module(location)
    file = (folder / location).resolve()
    # Relative to the project: names of a state's classes stand in checkpoints and in errors, on whatever machine.
    relative = Path(os.path.relpath(file, folder)).as_posix().removesuffix(".py")
    name = "graph__" + "__".join(map(_escaped, relative.split("/")))
    if name in sys.modules:
        return sys.modules[name]
    if not file.is_file():
        raise FileNotFoundError(file)
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise StartupError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


# --- loading ---


def _load(path: Path, entry: GraphEntry, target: Any, sources: dict[str, bytes]) -> LoadedWorkflow:
    where = f"{path}: graph {entry.name!r}: {entry.location}:{entry.variable}"
    try:
        graph, factory = _graph_or_factory(target)
        shown = graph if graph is not None else _made_once(factory)
        if shown.checkpointer is not None and shown.checkpointer is not True:
            log.warning(
                "workflow %s has a checkpointer of its own; jobs are checkpointed by the server instead", entry.name
            )
        return _described(entry, graph, factory, shown, sources)
    except StartupError as error:
        raise StartupError(f"{where}: {error}") from error
    except (Exception, SystemExit) as error:
        # A graph that does not compile, or a factory that fails: the user's code.
        log.debug("cannot load %s", entry.name, exc_info=error)
        raise StartupError(f"{where}: cannot be loaded: {error_line(error)}") from error


def _graph_or_factory(target: Any) -> tuple[Graph | None, Factory | None]:
    match target:
        case Pregel() | StateGraph():
            return _compiled(target), None
        case _ if callable(target):
            _check_factory(target)
            return None, target
        case _:
            kind = type(target).__name__
            raise StartupError(f"a value of type {kind} is neither a graph nor a function that makes one")


def _compiled(target: Any) -> Graph:
    graph: Any = target.compile() if isinstance(target, StateGraph) else target
    if not isinstance(graph, Pregel):
        raise StartupError(f"the function gave a {type(graph).__name__}, not a graph")
    if graph.checkpointer is False:
        raise StartupError("the graph is compiled with checkpointer=False, and a job needs its checkpoints")
    return graph


def _check_factory(factory: Factory) -> None:
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):
        signature = None
    # A class is no factory, such as the state's given in place of the graph; but one may be a context manager.
    is_manager = hasattr(factory, "__enter__") or hasattr(factory, "__aenter__")
    if signature is None or (isinstance(factory, type) and not is_manager):
        name = getattr(factory, "__name__", type(factory).__name__)
        kind = "the class " if isinstance(factory, type) else ""
        raise StartupError(f"{kind}{name} is neither a graph nor a function that makes one")
    parameters = [
        parameter
        for parameter in signature.parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    annotations = [str(parameter.annotation) for parameter in signature.parameters.values()]
    if any("ServerRuntime" in annotation for annotation in annotations):
        raise StartupError("the function wants a ServerRuntime, which only LangGraph's own server has")
    if len(parameters) > 1:
        raise StartupError(f"a function that makes a graph takes a config or nothing, not {len(parameters)} arguments")


@asynccontextmanager
async def _made(factory: Factory, config: RunnableConfig) -> AsyncIterator[Graph]:
    takes_config = bool(inspect.signature(factory).parameters)
    made = factory(config) if takes_config else factory()
    if inspect.isawaitable(made):
        made = await made
    match made:
        case Pregel() | StateGraph():
            yield _compiled(made)
        case AbstractAsyncContextManager():
            async with made as graph:
                yield _compiled(graph)
        case AbstractContextManager():
            with made as graph:
                yield _compiled(graph)
        case _:
            raise StartupError(f"the function gave a {type(made).__name__}, not a graph")


def _made_once(factory: Factory | None) -> Graph:
    """A factory's graph, to describe it."""
    assert factory is not None  # noqa: S101 - one of the two is given

    async def make() -> Graph:
        async with _made(factory, RunnableConfig(configurable={})) as graph:
            return graph

    # On a thread of its own: this may be called inside an event loop.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, make()).result()


# --- describing ---


def _described(
    entry: GraphEntry, graph: Graph | None, factory: Factory | None, shown: Graph, sources: dict[str, bytes]
) -> LoadedWorkflow:
    builder = getattr(shown, "builder", None)
    if builder is not None:
        given, gives = describe(builder.input_schema), describe(builder.output_schema, mode="serialization", lax=False)
        types = [builder.state_schema]
        input_type = None
    else:
        start, end = shown.channels["__start__"].ValueType, shown.channels["__end__"].ValueType  # type: ignore[union-attr]
        given, gives = describe(start), describe(end, mode="serialization", lax=False)
        types = [start]
        input_type = start if _is_object_type(start) else None
    _report(entry.name, given, types)
    context = None if shown.context_schema is None else _context_schema(shown.context_schema)
    descriptor = Workflow(
        name=entry.name,
        description=entry.description,
        revision=revision(entry.name, sources),
        input_schema=json.dumps(given.schema),
        output_schema=json.dumps(gives.schema),
        context_schema=context,
        steps=outline.steps(shown),
        mermaid=outline.mermaid(shown),
        longest_path=outline.longest_path(shown),
        retry_policy=entry.retry_policy,
        isolation=entry.isolation,
        concurrency=entry.concurrency,
        keeps_history=_keeps_history(shown),
    )
    _check_kept(entry, descriptor)
    return LoadedWorkflow(descriptor, graph, factory, input_type=input_type, kept_checkpoints=entry.kept_checkpoints)


def _keeps_history(graph: Graph) -> bool:
    """Whether the graph, or one inside it, has a channel whose value is read from earlier checkpoints."""
    inside = [subgraph for _, subgraph in graph.get_subgraphs(recurse=True) if isinstance(subgraph, Pregel)]
    return any(isinstance(channel, DeltaChannel) for each in (graph, *inside) for channel in each.channels.values())


def _check_kept(entry: GraphEntry, descriptor: Workflow) -> None:
    if descriptor.keeps_history and entry.kept_checkpoints != KeptCheckpoints():
        raise StartupError(
            'keep_checkpoints must be "all", as by default: the state has a DeltaChannel, whose value is read from '
            "earlier checkpoints, and which stores each update once instead of the whole state at each step"
        )


def _context_schema(kind: Any) -> Json:
    schema = describe(kind).schema
    if getattr(kind, "__dataclass_fields__", None) is not None:
        # Made with `kind(**context)`, which refuses what it does not know.
        schema["additionalProperties"] = False
    return json.dumps(schema)


def _is_object_type(kind: Any) -> bool:
    return isinstance(kind, type) and (issubclass(kind, BaseModel) or hasattr(kind, "__dataclass_fields__"))


def _report(name: str, given: Described, types: Sequence[Any]) -> None:
    if given.unchecked:
        log.info("workflow %s: these input fields are not checked: %s", name, ", ".join(given.unchecked))
    for kind in types:
        for field, hint in field_types(kind).items():
            for found in unrestorable(hint, SAFE_MSGPACK_TYPES):
                log.warning(
                    "workflow %s: field %s has values of type %s, which a checkpoint cannot hold: a step that writes "
                    "one will fail",
                    name,
                    field,
                    found,
                )


def error_line(error: BaseException) -> str:
    """An error of the user's code, as one line that is not too long."""
    return f"{type(error).__name__}: {' '.join(text_of(error).split())[:300]}"

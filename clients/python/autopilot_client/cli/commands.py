"""The commands."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from itertools import islice
from typing import Any

import click
import grpc
from rich.console import Console

from autopilot_client import MISSING, Client, Event, Job, JobState, RetryPolicy, tls_credentials
from autopilot_client.cli import exits, output, values
from autopilot_client.cli.health import ask_health
from autopilot_client.cli.live import JobView

DEFAULT_SERVER = "127.0.0.1:50051"


# What each of the server's commands says of itself where the server is not installed.
SERVER_COMMANDS = {
    "serve": "Start the server (needs pip install '.[server]').",
    "backup": "Copy a server's database (needs pip install '.[server]').",
    "restore": "Put a copy back (needs pip install '.[server]').",
    "check": "Verify a database (needs pip install '.[server]').",
    "drain": "Stop a database's server in order (needs pip install '.[server]').",
    "key": "Make keys to encrypt a database with (needs pip install '.[server]').",
    "encrypt": "Encrypt a database, or change its key (needs pip install '.[server]').",
    "decrypt": "Decrypt a database (needs pip install '.[server]').",
    "audit": "Show who changed what (needs pip install '.[server]').",
    "token": "Make and revoke bearer tokens (needs pip install '.[server]').",
}


class WithServer(click.Group):
    """Has also the commands of the server's package, without loading it before one is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, the server's first."""
        return [*SERVER_COMMANDS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command by name."""
        return _server_command(cmd_name) if cmd_name in SERVER_COMMANDS else super().get_command(ctx, cmd_name)


def _server_command(name: str) -> click.Command:
    try:
        from autopilot_server.cli import COMMANDS
    except ModuleNotFoundError as error:
        missing = error.name

        def explain(options: tuple[str, ...]) -> None:  # noqa: ARG001 - whatever was asked for
            exits.fail(
                f"the server is not installed ({missing} is missing): pip install '.[server]' in the repository",
                exits.USAGE,
            )

        return click.Command(
            name,
            callback=explain,
            params=[click.Argument(["options"], nargs=-1, type=click.UNPROCESSED)],
            context_settings={"ignore_unknown_options": True},
            short_help=SERVER_COMMANDS[name],
        )
    return COMMANDS[name]


@click.group(cls=WithServer, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="autopilot-jobs", prog_name="autopilot")
def cli() -> None:
    """Runs LangGraph workflows as durable background jobs.

    \b
      autopilot serve                                      start a server here
      autopilot workflows                                  what it can run
      autopilot submit hello --input '{"name": "Ada"}' --watch
      autopilot list --state RUNNING
      autopilot watch JOB_ID                               again, from the beginning
      autopilot resume JOB_ID                              answer its questions

    \b
    Every command of the client has --json, for programs.
    """


cli.epilog = exits.TEXT


def _address(context: click.Context, parameter: click.Parameter, value: str) -> str:  # noqa: ARG001 - click's signature
    if not value.strip():
        raise click.BadParameter("is empty: write it as HOST:PORT")
    return value


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Keep an option of the connection for `_client`: no command has anything else to do with it."""
    context.meta[f"{__name__}.{parameter.name}"] = value


def _tls_options() -> list[Callable[[Callable[..., Any]], Callable[..., Any]]]:
    file = {"type": click.Path(exists=True, dir_okay=False)}
    wanted: list[tuple[str, str, dict[str, Any], str]] = [
        (
            "--tls",
            "AUTOPILOT_TLS",
            {"is_flag": True},
            "The server serves TLS, with a certificate of a public authority.",
        ),
        ("--ca", "AUTOPILOT_CA", file, "The same, with a certificate of these authorities (PEM)."),
        (
            "--cert",
            "AUTOPILOT_CERT",
            file,
            "This client's own certificate (PEM), for servers that ask for it.",
        ),
        ("--key", "AUTOPILOT_KEY", file, "The key of --cert (PEM)."),
    ]
    return [
        click.option(name, envvar=variable, show_envvar=True, help=text, expose_value=False, callback=_keep, **kind)
        for name, variable, kind, text in reversed(wanted)
    ]


def _token_options() -> list[Callable[[Callable[..., Any]], Callable[..., Any]]]:
    # No option takes the token itself: whoever lists the processes of a machine would see it.
    return [
        click.option(
            "--insecure",
            is_flag=True,
            expose_value=False,
            callback=_keep,
            help="Send the token over plain text to another machine all the same.",
        ),
        click.option(
            "--token-from",
            type=click.File(),
            metavar="FILE",
            expose_value=False,
            callback=_keep,
            help="File with the bearer token to call with, - for stdin. Default: the environment's AUTOPILOT_TOKEN.",
        ),
    ]


def _token() -> str | None:
    """The bearer token to call with; None for none."""
    file = click.get_current_context().meta[f"{__name__}.token_from"]
    text = os.environ.get("AUTOPILOT_TOKEN", "") if file is None else file.read()
    return text.strip() or None if file is None else text.strip()


def _credentials() -> grpc.ChannelCredentials | None:
    """As the options of the connection want it; None for plain text."""
    meta = click.get_current_context().meta
    tls, ca, cert, key = (meta[f"{__name__}.{name}"] for name in ("tls", "ca", "cert", "key"))
    if not (tls or ca or cert or key):
        return None
    return tls_credentials(ca=ca, cert=cert, key=key)


def connected(command: Callable[..., Any], timeout_help: str = "How long the call may take.") -> Callable[..., Any]:
    """Options that every command of the client has."""
    for option in (
        *_token_options(),
        *_tls_options(),
        click.option("--json", "as_json", is_flag=True, help="Print JSON: one document, or one a line."),
        click.option(
            "--timeout", default="30s", type=values.Span(values.LONGEST_CALL), show_default=True, help=timeout_help
        ),
        click.option(
            "--server",
            "-s",
            default=DEFAULT_SERVER,
            envvar="AUTOPILOT_SERVER",
            show_envvar=True,
            show_default=True,
            callback=_address,
            help="Address of the server.",
        ),
    ):
        command = option(command)
    return command


def watching(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same, of a command that can watch."""
    return connected(command, "How long each single call may take. A watch may take as long as its job.")


@contextmanager
def _client(server: str, timeout: timedelta, as_json: bool) -> Iterator[Client]:
    with (
        exits.reported(server, as_json=as_json),
        Client(
            server,
            credentials=_credentials(),
            timeout=timeout.total_seconds(),
            token=_token(),
            insecure=click.get_current_context().meta[f"{__name__}.insecure"],
        ) as client,
    ):
        yield client


def _show(job: Job, as_json: bool) -> None:
    if as_json:
        output.print_json(output.to_json(job))
    else:
        output.print_job(job)


# --- submit, watch ---


@cli.command()
@click.argument("workflow")
@click.option("--input", "-i", "graph_input", type=values.Json(), help="JSON, @FILE, or - for standard input.")
@click.option("--watch/--no-watch", "-w", help="Watch the job until it is finished.")
@click.option("--job-id", default="", help="ID to give the job.")
@click.option("--request-id", default="", help="Makes repeating the command safe: the second one submits nothing.")
@click.option("--thread-id", default="", help="Thread whose saved state the job continues.")
@click.option("--label", "-l", multiple=True, metavar="KEY=VALUE", help="May be given several times.")
@click.option("--priority", type=click.IntRange(0, 9), default=0, show_default=True, help="Larger runs first.")
@click.option("--at", "scheduled_time", type=values.Time("in 5m"), help="Do not start before: ISO 8601, or 'in 5m'.")
@click.option("--execution-timeout", type=values.Span(), help="Fail the job when it ran for this long.")
@click.option("--retention", type=values.Span(), help="Keep the job for this long once it is finished.")
@click.option("--max-attempts", type=values.COUNT, help="Attempts, including the first.")
@click.option("--initial-backoff", type=values.Span(), help="Wait before the second attempt.")
@click.option("--max-backoff", type=values.Span(), help="Longest wait between attempts.")
@click.option("--backoff-multiplier", type=click.FloatRange(1), help="How the wait grows.")
@click.option("--interrupt-before", multiple=True, metavar="STEP", help='Stop before this step; "*": before each.')
@click.option("--interrupt-after", multiple=True, metavar="STEP", help='Stop after this step; "*": after each.')
@click.option("--context", type=values.Json(), help="LangGraph's run-time context, as --input.")
@click.option("--step-limit", type=values.COUNT, help="Supersteps an attempt may take.")
@click.option("--concurrency-key", default="", help="Only so many jobs with it run at once as the workflow says.")
@click.option("--fork-from", metavar="JOB_ID", help="Start from a copy of another job's checkpoint.")
@click.option("--fork-checkpoint", default="", metavar="ID", help="Which one; default: its newest.")
@click.option("--tokens", is_flag=True, help="With --watch: show what language models write.")
@watching
def submit(
    workflow: str,
    graph_input: Any,
    watch: bool,
    tokens: bool,
    as_json: bool,
    server: str,
    timeout: timedelta,
    **given: Any,
) -> None:
    """Submit a job of WORKFLOW.

    \b
      autopilot submit hello --input '{"name": "Ada"}'
      autopilot submit report --input @request.json --label team=blue --watch
      echo '{"n": 1}' | autopilot submit sum --input - --json
      autopilot submit nightly --at 'in 2h' --max-attempts 5
    """

    options = _submit_options(given)
    with _client(server, timeout, as_json) as client:
        job = client.submit(workflow, MISSING if graph_input is None else graph_input.value, **options)
        if watch:
            if not as_json and not sys.stdout.isatty():
                click.echo(f"job {job.job_id}")
            _watch(client, job.job_id, 0, as_json=as_json, tokens=tokens)
        elif as_json:
            _show(job, as_json)
        elif not sys.stdout.isatty():
            click.echo(job.job_id)
        else:
            done = "had been submitted before:" if job.deduplicated else "submitted"
            click.echo(f"{done} {job.job_id}\nWatch it with: autopilot watch {job.job_id}")


def _submit_options(given: dict[str, Any]) -> Any:

    retry = {name: given.pop(name) for name in ("max_attempts", "initial_backoff", "max_backoff", "backoff_multiplier")}
    options = {name: value for name, value in given.items() if value not in (None, "", ())}
    options["labels"] = values.pairs(options.pop("label", ()), "--label")
    if any(value is not None for value in retry.values()):
        options["retry_policy"] = RetryPolicy(**retry)
    if "context" in options:
        options["context"] = options["context"].value
    return options


@cli.command()
@click.argument("job_id")
@click.option(
    "--after", "after_sequence", type=click.IntRange(0, 2**63 - 1), default=0, help="Show events after this sequence."
)
@click.option("--no-follow", is_flag=True, help="Show what is stored, and end.")
@click.option("--tokens", is_flag=True, help="Show what language models write.")
@watching
def watch(
    job_id: str, after_sequence: int, no_follow: bool, tokens: bool, as_json: bool, server: str, timeout: timedelta
) -> None:
    """Watch a job until it is finished, or waits for answers.

    Goes on by itself when the server is restarted. In a terminal: a progress bar and the steps; in a pipe: a line an
    event. With --no-follow, an unfinished job's exit code is 0.

    \b
      autopilot watch JOB_ID
      autopilot watch JOB_ID --json | jq .kind
      autopilot watch JOB_ID --no-follow
    """
    with _client(server, timeout, as_json) as client:
        _watch(client, job_id, after_sequence, as_json=as_json, tokens=tokens, no_follow=no_follow)


def _watch(
    client: Client, job_id: str, after: int, *, as_json: bool, tokens: bool = False, no_follow: bool = False
) -> None:
    """Watch, then end with the exit code of the job's state."""

    try:
        with _shown(job_id, as_json) as show:
            if no_follow:
                for event in client.watch(job_id, after_sequence=after, tokens=tokens, stop_when_caught_up=True):
                    show(event)
                job = client.get(job_id)
            else:
                job = client.follow(job_id, after_sequence=after, tokens=tokens, on_event=show)
    except KeyboardInterrupt:
        click.echo(f"\nThe job goes on. Watch it again with: autopilot watch {job_id}", err=True)
        sys.exit(exits.CTRL_C)
    if not as_json and job.state.resting:
        _print_end(job)
    sys.exit(exits.of_state(job.state))


def _shown(job_id: str, as_json: bool) -> AbstractContextManager[Callable[[Event], None]]:
    """What shows events: as JSON, as lines, or drawn in a terminal."""
    if as_json:
        return nullcontext(lambda event: output.print_json(output.event_to_json(event)))
    return JobView(job_id, Console()).shown() if sys.stdout.isatty() else nullcontext(_print_line)


def _print_line(event: Event) -> None:
    click.echo(output.event_line(event))
    sys.stdout.flush()


def _print_end(job: Job) -> None:
    if job.state is JobState.SUCCEEDED:
        click.echo(output.short_json(job.output, 4000))
    for question in job.interrupts:
        click.echo(f"{question.step} asks: {output.short_json(question.value, 2000)}", err=True)
    if job.state is JobState.INTERRUPTED:
        click.echo(f"Answer, or go on, with: autopilot resume {job.job_id}", err=True)


@cli.command()
@click.argument("job_id")
@click.option(
    "--wait", type=values.Span(values.LONGEST_CALL), help="Wait this long for it to be finished or INTERRUPTED."
)
@click.option("--basic", is_flag=True, help="Without input, output and questions.")
@connected
def status(job_id: str, wait: timedelta | None, basic: bool, as_json: bool, server: str, timeout: timedelta) -> None:
    """Show a job.

    \b
      autopilot status JOB_ID
      autopilot status JOB_ID --wait 10m --json | jq .output
    """
    with _client(server, timeout, as_json) as client:
        _show(client.get(job_id, wait=wait or 0, payloads=not basic), as_json)


@cli.command("list")
@click.option("--state", "states", multiple=True, help="PENDING, RUNNING, … May be given several times.")
@click.option("--workflow", default="", help="Only jobs of this workflow.")
@click.option("--thread-id", default="", help="Only jobs of this thread.")
@click.option("--label", "-l", multiple=True, metavar="KEY=VALUE", help="Only jobs with all of these labels.")
@click.option(
    "--after", "created_after", type=values.Time("2h ago"), help="Created then or later: ISO 8601, or '2h ago'."
)
@click.option("--before", "created_before", type=values.Time("2h ago"), help="Created before: the same.")
@click.option("--limit", "-n", type=values.COUNT, default=50, show_default=True, help="How many, newest first.")
@connected
def list_jobs(
    states: tuple[str, ...],
    label: tuple[str, ...],
    limit: int,
    as_json: bool,
    server: str,
    timeout: timedelta,
    **given: Any,
) -> None:
    """List jobs, newest first.

    \b
      autopilot list --state RUNNING --state PENDING
      autopilot list --label team=blue --json | jq -r .job_id
    """
    wanted = _states(states)
    with _client(server, timeout, as_json) as client:
        jobs = client.list(states=wanted, labels=values.pairs(label, "--label"), page_size=min(limit, 500), **given)
        for number, job in enumerate(islice(jobs, limit)):
            if as_json:
                output.print_json(output.to_json(job))
                continue
            if number == 0 and sys.stdout.isatty():
                click.echo(f"{'JOB':<36}  {'CREATED':<19}  {'STATE':<11}  DONE  WORKFLOW")
            created = job.create_time.astimezone().strftime("%Y-%m-%d %H:%M:%S") if job.create_time else ""
            done = f"{job.progress.fraction:>4.0%}"
            click.echo(f"{job.job_id:<36}  {created:<19}  {job.state.name:<11}  {done}  {job.workflow}")


def _states(names: tuple[str, ...], *, finished: bool = False) -> list[JobState]:
    possible = {state.name: state for state in JobState if state and (state.finished or not finished)}
    for name in names:
        if name.upper() not in possible:
            raise click.BadParameter(f"{name!r} is none of {', '.join(possible)}", param_hint="--state")
    return [possible[name.upper()] for name in names]


# --- control ---


@cli.command()
@click.argument("job_id")
@click.option("--reason", default="", help="For people: kept with the job.")
@click.option("--grace", "grace_period", type=values.Span(), help="How long running steps may go on; 0: not at all.")
@click.option("--etag", default="", help="Only if the job has not changed since.")
@connected
def cancel(job_id: str, as_json: bool, server: str, timeout: timedelta, **given: Any) -> None:
    """Ask a job to stop.

    \b
      autopilot cancel JOB_ID --reason 'wrong input'
      autopilot cancel JOB_ID --grace 0
    """
    with _client(server, timeout, as_json) as client:
        _show(client.cancel(job_id, **given), as_json)


@cli.command()
@click.argument("job_id")
@click.option("--answer", type=values.Json(), help="Answer to the only open question, as JSON.")
@click.option("--answer-text", help="The same, as a text.")
@click.option("--answers", multiple=True, metavar="ID=JSON", help="Answer to a question by its id; several times.")
@click.option("--checkpoint", "checkpoint_id", default="", metavar="ID", help="Go on from this earlier checkpoint.")
@click.option("--update", type=values.Json(), help="Change the state first, as LangGraph's update_state.")
@click.option("--update-step", default="", metavar="STEP", help="The step that the change is attributed to.")
@click.option("--request-id", default="", help="Makes repeating the command safe.")
@click.option("--etag", default="", help="Only if the job has not changed since.")
@click.option("--watch/--no-watch", "-w", help="Watch the job until it is finished.")
@watching
def resume(
    job_id: str,
    answer: Any,
    answer_text: str | None,
    answers: tuple[str, ...],
    update: Any,
    update_step: str,
    watch: bool,
    as_json: bool,
    server: str,
    timeout: timedelta,
    **given: Any,
) -> None:
    """Continue a job: with answers, after a failure, or from an earlier or edited state.

    In a terminal and without answers, it asks what the job asks. A question that is left out stays open, and one of a
    FAILED or CANCELLED job is asked again when its step runs again.

    \b
      autopilot resume JOB_ID
      autopilot resume JOB_ID --answer '{"approved": true}' --watch
      autopilot resume JOB_ID --answers 5f…=true --answers 81…='"later"'
      autopilot resume JOB_ID --checkpoint CHECKPOINT_ID
      autopilot resume JOB_ID --update '{"draft": "better"}'
    """
    if answer is not None and answer_text is not None:
        raise click.UsageError("--answer and --answer-text are the same answer: give one of them")
    options: dict[str, Any] = {name: value for name, value in given.items() if value}
    if answer is not None or answer_text is not None:
        options["answer"] = answer.value if answer is not None else answer_text
    if answers:
        options["answers"] = values.answers(answers)
    if update is not None:
        options |= {"state_update": update.value, "state_update_step": update_step}
    with _client(server, timeout, as_json) as client:
        before = client.get(job_id)
        if not options.keys() & {"answer", "answers", "checkpoint_id", "state_update"} and sys.stdin.isatty():
            options |= _ask(before)
        job = client.resume(job_id, **options)
        if watch:
            _watch(client, job_id, before.latest_sequence, as_json=as_json)
        else:
            _show(job, as_json)


def _ask(job: Job) -> dict[str, Any]:
    """Answers from whoever sits at the terminal."""
    given = {}
    for question in job.interrupts:
        click.echo(f"{question.step} asks: {output.short_json(question.value, 4000)}", err=True)
        if question.response_schema:
            click.echo(f"An answer must fit: {json.dumps(question.response_schema)}", err=True)
        text = "Answer (JSON; empty: none now)"
        answer = click.prompt(text, default="", show_default=False, value_proc=_answer, err=True)
        if answer is not None:
            given[question.interrupt_id] = answer.value
    return {"answers": given} if given else {}


def _answer(text: str) -> Any:
    return values.Json().convert(text, None, None) if text.strip() else None


@cli.command()
@click.argument("job_id")
@click.option("--values", "with_values", is_flag=True, help="With the state's values.")
@click.option("--limit", "-n", type=values.COUNT, default=50, show_default=True, help="How many, newest first.")
@connected
def checkpoints(job_id: str, with_values: bool, limit: int, as_json: bool, server: str, timeout: timedelta) -> None:
    """List a job's checkpoints, newest first.

    \b
      autopilot checkpoints JOB_ID
      autopilot checkpoints JOB_ID --values --json | jq .values
    """
    with _client(server, timeout, as_json) as client:
        for item in islice(client.checkpoints(job_id, values=with_values, page_size=min(limit, 100)), limit):
            if as_json:
                output.print_json(output.to_json(item))
            else:
                following = ", ".join(item.next_steps) or "end"
                click.echo(f"{item.checkpoint_id}  {item.superstep:>4}  {item.source:<6}  next: {following}")
                if with_values:
                    click.echo(f"    {output.short_json(item.values, 2000)}")


@cli.command()
@click.argument("job_id")
@click.option("--etag", default="", help="Only if the job has not changed since.")
@click.option("--allow-missing", is_flag=True, help="No error when there is no such job.")
@connected
def delete(job_id: str, as_json: bool, server: str, timeout: timedelta, **given: Any) -> None:
    """Delete a finished job, its events and its checkpoints.

    \b
      autopilot delete JOB_ID
    """
    with _client(server, timeout, as_json) as client:
        client.delete(job_id, **given)
        if as_json:
            output.print_json({"deleted": job_id})


@cli.command()
@click.option("--finished-for", type=values.Span(), required=True, help="Only jobs finished at least this long ago.")
@click.option("--state", "states", multiple=True, help="SUCCEEDED, FAILED or CANCELLED; several times.")
@click.option("--workflow", default="", help="Only jobs of this workflow.")
@click.option("--label", "-l", multiple=True, metavar="KEY=VALUE", help="Only jobs with all of these labels.")
@click.option("--checkpoints-only", is_flag=True, help="Keep the jobs, delete their older checkpoints.")
@click.option("--dry-run", is_flag=True, help="Count, delete nothing.")
@connected
def prune(
    finished_for: timedelta,
    states: tuple[str, ...],
    label: tuple[str, ...],
    as_json: bool,
    server: str,
    timeout: timedelta,
    **given: Any,
) -> None:
    """Delete what finished jobs left behind, now rather than when it expires.

    \b
      autopilot prune --finished-for 7d --dry-run
      autopilot prune --finished-for 1h --state FAILED --workflow report
    """
    wanted = _states(states, finished=True)
    with _client(server, timeout, as_json) as client:
        pruned = client.prune(finished_for, states=wanted, labels=values.pairs(label, "--label"), **given)
        if as_json:
            output.print_json(output.to_json(pruned))
        else:
            verb = "would delete" if given["dry_run"] else "deleted"
            click.echo(f"{verb} {pruned.deleted_jobs} jobs and {pruned.deleted_checkpoints} checkpoints")


@cli.command()
@connected
def workflows(as_json: bool, server: str, timeout: timedelta) -> None:
    """List the workflows that the server can run.

    \b
      autopilot workflows
      autopilot workflows --json | jq .input_schema
    """
    with _client(server, timeout, as_json) as client:
        for workflow in client.workflows():
            if as_json:
                output.print_json(output.to_json(workflow))
            else:
                click.echo(f"{workflow.name}  {workflow.description}".rstrip())
                click.echo(f"    {' → '.join(workflow.steps)}")


@cli.command()
@connected
def health(as_json: bool, server: str, timeout: timedelta) -> None:
    """Ask a server whether it works. Needs no token: for probes and scripts.

    Exit code 0: it serves. 7: it does not, because it is stopping, its database is away, or nobody is there.

    \b
      autopilot health
      until autopilot health; do sleep 1; done
    """
    with exits.reported(server, as_json=as_json):
        state = ask_health(server, _credentials(), timeout=timeout.total_seconds())
    if as_json:
        output.print_json({"status": state})
    else:
        click.echo(state)
    sys.exit(exits.OK if state == "SERVING" else exits.UNAVAILABLE)

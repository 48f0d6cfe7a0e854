"""What running does to a job of the model: LangGraph's way through the plans of model_workflows.py, gate by gate."""

from collections.abc import Callable
from typing import Any

from tests.proof.histories.states import CANCELLING, FAILED, INTERRUPTED, PENDING, RUNNING, SUCCEEDED
from tests.proof.model.jobs import BEFORE_ALL, Job, Point, Question, Start, Values, top

IsOpen = Callable[[str], bool]

_START_STEP = ""


class Runner:
    """Runs the jobs of a model until each of them waits for somebody."""

    def __init__(self, threads: dict[str, list[Point]], is_open: IsOpen) -> None:
        """`threads`: the checkpoints of each thread, oldest first. `is_open`: whether a gate is."""
        self._threads, self._is_open = threads, is_open
        self.submitted = 0

    def claim(self, job: Job) -> None:
        """A worker takes a PENDING job up."""
        job.move(RUNNING, keeps_error=True)
        job.attempt += 1
        if job.start is not None:
            if not self._apply(job, job.start):
                return
            job.start = None
        elif job.point is None:
            self._begin(job)
        elif job.point.stops and job.point is not job.passed:
            # Nobody has told it to go on there.
            job.move(INTERRUPTED)
            return
        self.go_on(job)

    def go_on(self, job: Job) -> None:
        """Run to where the job stops, or waits at a gate."""
        while job.state in (RUNNING, CANCELLING):
            point = job.point
            assert point is not None
            if job.state == RUNNING and point.position == len(job.plan.supersteps):
                job.questions.clear()
                job.move(SUCCEEDED)
            elif not self._superstep(job, point):
                return

    def waits_at(self, job: Job) -> str:
        """The step that waits at a closed gate, if the job runs."""
        point = job.point
        if job.state not in (RUNNING, CANCELLING) or point is None:
            return ""
        return next((s for s in job.unfinished(point) if self._outcome(job, point, s)[0] == "waits"), "")

    # --- where it begins ---

    def _begin(self, job: Job) -> None:
        thread = self._threads[job.thread_id]
        newest = thread[-1] if thread else None
        self._add(
            job,
            Point(
                source="input",
                number=BEFORE_ALL if newest is None else newest.number + 1,
                position=BEFORE_ALL,
                values={"trail": []} if newest is None else dict(newest.values),
                parent=newest,
                writer=job.job_id,
                submitted=self.submitted,
                graph_input=job.graph_input,
            ),
        )

    def _apply(self, job: Job, start: Start) -> bool:
        """Go back, or edit. False when the graph refuses."""
        base = start.point or job.point
        position = None if base is None else _position_after(job, base, start)
        if base is None or position is None:
            job.start = None
            job.move(start.former, ("UPDATE_REFUSED", start.step))
            return False
        job.questions.clear()
        edited = start.update is not None
        point = Point(
            source="update" if edited else "fork",
            number=base.number + 1,
            position=position,
            values=dict(base.values),
            # A way back stands beside what it goes back to, an edit behind it.
            parent=base if edited else base.parent,
            writer=job.job_id,
            submitted=self.submitted,
            graph_input=base.graph_input,
            ran=base.ran,
        )
        if start.update is not None:
            _take(point.values, start.update[0])
        self._add(job, point)
        return True

    def _add(self, job: Job, point: Point) -> None:
        job.points.append(point)
        self._threads[job.thread_id].append(point)

    # --- a superstep ---

    def _superstep(self, job: Job, point: Point) -> bool:
        """Run one. Whether there is more to do."""
        if point.position == BEFORE_ALL:
            self._complete(job, point, {_START_STEP: []})
            return True
        outcomes = {step: self._outcome(job, point, step) for step in job.unfinished(point)}
        point.finished |= {step: added for step, (kind, added) in outcomes.items() if kind == "finished"}
        kinds = {kind for kind, _ in outcomes.values()}
        step = next(iter(job.unfinished(point)), "")
        if "waits" in kinds:
            return False
        if "refused" in kinds:
            self._refuse_answer(job, point, step)
        elif "fails" in kinds:
            self._fail(job, step)
        elif "asks" in kinds:
            self._ask(job, point)
        else:
            self._complete(job, point, point.finished)
            return job.state in (RUNNING, CANCELLING)
        return False

    def _outcome(self, job: Job, point: Point, step: str) -> tuple[str, list[str]]:
        """What a step does: waits, asks, fails, is refused its answer, or finishes and adds to the trail."""
        kind, gate = step.rpartition("/")[2], point.values.get("gate")
        question = job.question(point, step)
        if "/" in step and gate is None:
            return "fails", []
        if kind.startswith(("ask", "number", "hold")):
            if question is None or not question.answered:
                return "asks", []
            return self._answered(kind, gate, question.answer)
        if kind.startswith(("gate", "fragile")) and gate is None:
            return "fails", []
        if kind.startswith("gate") and not self._is_open(gate):
            return "waits", []
        if kind.startswith("fragile") and not self._is_open(gate):
            return "fails", []
        return "finished", [kind]

    def _answered(self, kind: str, gate: str | None, answer: Any) -> tuple[str, list[str]]:
        if kind.startswith("number"):
            number = answer["number"]
            return ("refused", []) if number % 2 else ("finished", [kind, str(number)])
        if kind.startswith("hold") and gate is None:
            return "fails", []
        if kind.startswith("hold") and not self._is_open(gate):
            return "waits", []
        return "finished", [kind, str(answer)]

    def _complete(self, job: Job, point: Point, added: dict[str, list[str]]) -> None:
        values = dict(point.values)
        if point.position == BEFORE_ALL:
            _take(values, point.graph_input)
        for step in job.superstep(point):
            values["trail"] = values["trail"] + added[step]
        point.continued = True
        done = {top(step) for step in job.superstep(point)}
        new = Point(
            source="loop",
            number=point.number + 1,
            position=point.position + 1,
            values=values,
            parent=point,
            writer=job.job_id,
            submitted=self.submitted,
            graph_input=point.graph_input,
            ran=point.position,
        )
        new.stops = _stops(job, done, {top(step) for step in job.superstep(new)})
        self._add(job, new)
        job.questions.clear()
        if job.state == CANCELLING:
            job.cancelled()
        elif new.stops:
            job.move(INTERRUPTED)

    # --- how it stops ---

    def _ask(self, job: Job, point: Point) -> None:
        known = [(step, job.question(point, step)) for step in job.unfinished(point)]
        job.questions = [question or Question(point, step) for step, question in known]
        job.move(INTERRUPTED)

    def _refuse_answer(self, job: Job, point: Point, step: str) -> None:
        question = job.question(point, step)
        assert question is not None
        question.answered, question.answer = False, None
        job.move(INTERRUPTED, ("ANSWER_REFUSED", step))

    def _fail(self, job: Job, step: str) -> None:
        job.failed_attempts += 1
        if job.failed_attempts >= job.max_attempts:
            job.move(FAILED, ("STEP_RAISED", top(step)))
            return
        job.move(PENDING, ("STEP_RAISED", top(step)))
        job.retries_later = True


def _stops(job: Job, done: set[str], coming: set[str]) -> bool:
    before, after = job.breakpoints()
    return bool(_hit(before, coming) or _hit(after, done))


def _hit(breakpoints: set[str], steps: set[str]) -> bool:
    return bool(steps) if "*" in breakpoints else bool(breakpoints & steps)


def _take(values: Values, update: dict[str, Any]) -> None:
    """Values as the workflows' state takes them in: the trail grows, the gate is replaced."""
    values["trail"] = values["trail"] + update.get("trail", [])
    if "gate" in update:
        values["gate"] = update["gate"]


def _position_after(job: Job, base: Point, start: Start) -> int | None:
    """Where an edit attributed to a step leads; None when the graph refuses it."""
    if start.update is None:
        return base.position
    if not isinstance(start.update[0], dict) or not isinstance(start.update[0].get("trail", []), list):
        return None
    plan = job.plan.supersteps
    if not start.step:
        return None if base.ran >= 0 and len(plan[base.ran]) > 1 else base.ran + 1
    return next((n + 1 for n, superstep in enumerate(plan) if [top(s) for s in superstep] == [start.step]), None)

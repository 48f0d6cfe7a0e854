"""Deliberate breaks of the server's code, and the tests that must catch them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

SERVER = "server/autopilot_server"
ENGINE, API, STORAGE = f"{SERVER}/engine", f"{SERVER}/api", f"{SERVER}/storage"
SQLITE, QUERIES = f"{STORAGE}/sqlite", f"{STORAGE}/queries"

PROMISES: Mapping[int, str] = {
    1: "accepted is kept",
    2: "goes on by itself",
    3: "steps at least once, transitions exactly once",
    4: "the watch is a log",
    5: "cancel ends",
    6: "answers are not mixed up",
    7: "bad input is refused whole",
    8: "memory is bounded",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """One break: `old`, which is in `file` once, becomes `new`."""

    promise: int
    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    """What pytest is given."""
    environment: Mapping[str, str] = field(default_factory=dict)


PROMISE_TESTS = "tests/promises/test_promises.py"
STALE = "tests/proof/zombies/test_stale_tokens.py"
ZOMBIES = "tests/proof/zombies/test_zombies.py"
KILLS = "tests/proof/kills/test_random_kills.py"
CHECKERS = "tests/proof/histories/test_checkers.py"
DEATHS = "tests/workers/test_deaths.py"

# Enough of a random run to see what only a watcher sees.
FEW = {"AUTOPILOT_PROOF_JOBS": "30", "AUTOPILOT_PROOF_KILLS": "2"}

BREAKS = (
    # --- 1 ---
    Break(
        promise=1,
        name="answers-before-the-commit",
        file=f"{SQLITE}/writer.py",
        old='        connection.execute("COMMIT")\n',
        new='        self._settle(batch)\n        time.sleep(0.02)\n        connection.execute("COMMIT")\n',
        tests=(f"{PROMISE_TESTS}::test_accepted_is_kept",),
    ),
    Break(
        promise=1,
        name="commits-now-and-then",
        file=f"{SQLITE}/writer.py",
        old='        connection.execute("COMMIT")\n',
        new='        connection.execute("COMMIT" if batch.number % 8 else "ROLLBACK")\n',
        tests=(f"{PROMISE_TESTS}::test_accepted_is_kept",),
    ),
    Break(
        promise=1,
        name="repeated-resume-resumes-again",
        file=f"{STORAGE}/submissions.py",
        old='            transaction.execute(SQL.resume_request_insert, request | {"request_digest": '
        "resumption.request_digest})\n",
        new="            pass\n",
        tests=(f"{PROMISE_TESTS}::test_answers_are_not_mixed_up",),
    ),
    Break(
        promise=1,
        name="a-commit-that-failed-is-told-as-done",
        file=f"{STORAGE}/writer.py",
        old="[(None, self._failed(error))] * len(writes)",
        new="[(None, self._failed(error) and None)] * len(writes)",
        tests=("tests/storage/test_sqlite.py", "-k", "full_disk or foreign_writer"),
    ),
    Break(
        promise=1,
        name="nothing-is-synced-at-a-commit",
        file=f"{SQLITE}/connections.py",
        old='        connection.execute("PRAGMA synchronous = FULL")\n',
        new='        connection.execute("PRAGMA synchronous = NORMAL")\n',
        tests=("tests/proof/storage/test_torn_databases.py", "-k", "not_synced"),
    ),
    # --- 2 ---
    Break(
        promise=2,
        name="nobody-takes-up-what-a-dead-process-left",
        file=f"{SERVER}/app.py",
        old="            moved = await store.jobs_recover(max_losses=settings.max_worker_losses)\n",
        new='            moved = await store.jobs_recover(max_losses=1000, worker_id="nobody")\n',
        tests=(f"{PROMISE_TESTS}::test_goes_on_by_itself",),
    ),
    Break(
        promise=2,
        name="finished-siblings-run-again",
        file=f"{ENGINE}/recorder.py",
        old="            self._writes.append(put)\n",
        new="",
        tests=(f"{PROMISE_TESTS}::test_goes_on_by_itself",),
    ),
    Break(
        promise=2,
        name="a-restart-costs-an-attempt",
        file=f"{STORAGE}/runs.py",
        old='        loss = {"losses": losses, "checkpoints_at_loss": row["checkpoints"]}\n',
        new='        loss = {"losses": losses, "checkpoints_at_loss": row["checkpoints"]}\n'
        '        loss["failed_attempts"] = row["failed_attempts"] + 1\n',
        tests=(f"{PROMISE_TESTS}::test_goes_on_by_itself",),
    ),
    Break(
        promise=2,
        name="starts-from-the-input-again",
        file=f"{ENGINE}/run.py",
        old="        if not self.claim.job.checkpoint_id:\n",
        new="        if True:\n",
        tests=(f"{PROMISE_TESTS}::test_goes_on_by_itself",),
    ),
    Break(
        promise=2,
        name="one-loss-and-the-job-is-given-up",
        file=f"{STORAGE}/runs.py",
        old="        if error is not None or losses >= max_losses:\n",
        new="        if error is not None or losses >= 1:\n",
        tests=(f"{PROMISE_TESTS}::test_goes_on_by_itself",),
    ),
    Break(
        promise=2,
        name="a-step-is-told-before-what-it-wrote-is-stored",
        file=f"{ENGINE}/recorder.py",
        old="            self._held[task_id] = _Held(kind, cancelled)\n",
        new="            self._append(kind)\n            self._send()\n",
        tests=("tests/proof/kills/test_kill_points.py", "-k", "test_death_at and run_write-after"),
    ),
    Break(
        promise=2,
        name="the-jobs-of-a-dead-worker-wait-for-the-next-start",
        file=f"{SERVER}/workers/pool.py",
        old="        if member.worker_id:\n            await self._recover(member, reached)\n",
        new="        if not member.worker_id:\n            await self._recover(member, reached)\n",
        tests=(DEATHS, "-k", "test_the_jobs_of_a_killed_worker_go_on"),
    ),
    Break(
        promise=2,
        name="a-dead-worker-s-jobs-are-those-of-all",
        file=f"{SERVER}/workers/pool.py",
        old="max_losses=self._settings.max_worker_losses, worker_id=member.worker_id, error=reached\n",
        new="max_losses=self._settings.max_worker_losses, worker_id=None, error=reached\n",
        tests=(DEATHS, "-k", "test_the_jobs_of_a_killed_worker_go_on"),
    ),
    # --- 3 ---
    Break(
        promise=3,
        name="a-write-is-not-fenced",
        file=f"{QUERIES}/run_write.sql",
        old="WHERE job_id = :job_id AND run_token = :run_token",
        new="WHERE job_id = :job_id AND :run_token <> ''",
        tests=(STALE, "-k", "test_a_stale_token_writes_nothing and resumed"),
    ),
    Break(
        promise=3,
        name="an-end-is-not-fenced",
        file=f"{STORAGE}/runs.py",
        old='        if found is None or found["run_token"] != fence.run_token:\n',
        new='        if found is None or found["run_token"] is None:\n',
        tests=(STALE, "-k", "test_a_stale_token_writes_nothing and resumed"),
    ),
    Break(
        promise=3,
        name="a-run-token-comes-twice",
        file=f"{STORAGE}/runs.py",
        old="        now, token = transaction.now, uuid.uuid4().hex\n",
        new="        now, token = transaction.now, f\"{row['job_id']}-{row['attempt'] + 1}\"\n",
        tests=(STALE, "-k", "submitted_again_and_running"),
    ),
    Break(
        promise=3,
        name="an-old-step-speaks-to-new-watchers",
        file=f"{ENGINE}/run.py",
        old="            self._callbacks.discard()\n",
        new="            pass\n",
        tests=(ZOMBIES, "-k", "resumed-stubborn and once"),
    ),
    Break(
        promise=3,
        name="two-servers-on-one-database",
        file=f"{SQLITE}/lock.py",
        old="            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        new="            fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)\n",
        tests=("tests/proof/zombies/test_stopped_servers.py", "-k", "keeps_its_database and sync"),
    ),
    Break(
        promise=3,
        name="a-move-is-told-twice",
        file=f"{STORAGE}/transitions.py",
        old="        self._tell(transaction, moved, StateChanged(from_state, to_state, error))\n        job_moved(",
        new="        self._tell(transaction, moved, StateChanged(from_state, to_state, error))\n"
        '        moved["latest_sequence"] += 1\n'
        "        from autopilot_server.storage.queries import Statement\n"
        '        one_more = "UPDATE jobs SET latest_sequence = latest_sequence + 1 WHERE job_id = :job_id"\n'
        '        transaction.execute(Statement.common(one_more), {"job_id": row["job_id"]})\n'
        "        self._tell(transaction, moved, StateChanged(from_state, to_state, error))\n        job_moved(",
        tests=(f"{PROMISE_TESTS}::test_steps_at_least_once_transitions_exactly_once",),
    ),
    # --- 4 ---
    Break(
        promise=4,
        name="rings-before-the-commit",
        file=f"{SQLITE}/writer.py",
        old='        connection.execute("COMMIT")\n',
        new="        self._ring([News(j, s, tuple(e), c) for j, told in batch.news.items() for s, e, c in told])\n"
        '        time.sleep(0.02)\n        connection.execute("COMMIT")\n        batch.news = {}\n',
        tests=(KILLS,),
        environment=FEW,
    ),
    Break(
        promise=4,
        name="a-sequence-is-skipped",
        file=f"{STORAGE}/transitions.py",
        old='            "latest_sequence": row["latest_sequence"] + 1,\n',
        new='            "latest_sequence": row["latest_sequence"] + 1 + (to_state in FINISHED),\n',
        tests=(f"{PROMISE_TESTS}::test_accepted_is_kept",),
    ),
    Break(
        promise=4,
        name="an-event-comes-again-after-a-reconnect",
        file=f"{QUERIES}/event_list.sql",
        old="sequence > :after",
        new="sequence >= :after",
        tests=(f"{PROMISE_TESTS}::test_the_watch_is_a_log",),
    ),
    Break(
        promise=4,
        name="an-event-is-lost-by-a-reconnect",
        file=f"{QUERIES}/event_list.sql",
        old="sequence > :after",
        new="sequence > :after + (:after > 0)",
        tests=(f"{PROMISE_TESTS}::test_the_watch_is_a_log",),
    ),
    Break(
        promise=4,
        name="a-watch-ends-before-the-last-event",
        file=f"{API}/watch.py",
        old="        return page.state in FINISHED and page.latest_sequence == self._place\n",
        new="        return page.state in FINISHED\n",
        tests=("tests/api/test_watch.py", "-k", "read_before_the_ring_came"),
    ),
    Break(
        promise=4,
        name="a-question-ends-the-watch",
        file=f"{API}/watch.py",
        old="        if channel.state is not None and channel.state not in FINISHED:\n            return False\n",
        new="        if channel.state == 3:\n            return True\n"
        "        if channel.state is not None and channel.state not in FINISHED:\n            return False\n",
        tests=(KILLS,),
        environment=FEW,
    ),
    Break(
        promise=4,
        name="two-jobs-of-one-name-are-one-log",
        file=f"{STORAGE}/writer.py",
        old="            if told and told[-1][0] is not None:\n",
        new="            if told:\n",
        tests=("tests/api/test_watch.py", "-k", "another_job_of_its_name"),
    ),
    # --- 5 ---
    Break(
        promise=5,
        name="a-cancel-waits-for-the-step",
        file=f"{STORAGE}/submissions.py",
        old="        if grace_period <= 0:\n",
        new="        if grace_period < 0:\n",
        tests=(STALE, "-k", "test_a_stale_token_writes_nothing and cancelled"),
    ),
    Break(
        promise=5,
        name="nobody-keeps-the-grace-period",
        file=f"{STORAGE}/submissions.py",
        old='        deadline = min(transaction.now + grace_period, row["deadline"] or 2**62)\n',
        new='        deadline = row["deadline"] or 2**62\n',
        tests=(STALE, "-k", "test_a_stale_token_writes_nothing and cancelled"),
    ),
    Break(
        promise=5,
        name="a-grace-period-is-cut-short",
        file=f"{STORAGE}/submissions.py",
        old='        deadline = min(transaction.now + grace_period, row["deadline"] or 2**62)\n',
        new='        deadline = min(transaction.now + grace_period // 2, row["deadline"] or 2**62)\n',
        tests=(CHECKERS, "-k", "test_a_real_history_is_in_order"),
    ),
    Break(
        promise=5,
        name="a-step-is-not-told-of-a-cancel",
        file=f"{ENGINE}/dispatcher.py",
        old="            case JobState.CANCELLING:\n                run.drain()\n",
        new="            case JobState.CANCELLING:\n                pass\n",
        tests=(CHECKERS, "-k", "test_a_real_history_is_in_order"),
    ),
    Break(
        promise=5,
        name="a-step-that-does-not-stop-is-waited-for",
        file=f"{ENGINE}/run.py",
        old="            await asyncio.wait({attempt}, timeout=STOP_SECONDS)\n",
        new="            await asyncio.wait({attempt})\n",
        tests=(ZOMBIES, "-k", "cancelled-stubborn-left"),
        environment={"AUTOPILOT_PROOF_PATIENCE": "20"},
    ),
    # --- 6 ---
    Break(
        promise=6,
        name="an-answer-is-sent-to-whoever-asks",
        file=f"{ENGINE}/run.py",
        old="            resume={interrupt_id: json.loads(self.claim.answers[interrupt_id]) "
        "for interrupt_id in self._sent}\n",
        new="            resume=json.loads(self.claim.answers[self._sent[0]])\n",
        tests=("tests/engine/test_questions.py", "-k", "partial_answers"),
    ),
    Break(
        promise=6,
        name="an-answer-to-a-question-that-is-not-open",
        file=f"{STORAGE}/submissions.py",
        old="        if interrupt_id not in open_ids:\n",
        new="        if not open_ids:\n",
        tests=("tests/storage/test_jobs.py", "-k", "questions_and_answers"),
    ),
    Break(
        promise=6,
        name="an-answer-is-lost-with-the-process",
        file=f"{STORAGE}/runs.py",
        old='            answers={answer["interrupt_id"]: answer["answer"] for answer in answers},\n',
        new='            answers={a["interrupt_id"]: a["answer"] for a in answers if not row["losses"]},\n',
        tests=(f"{PROMISE_TESTS}::test_answers_are_not_mixed_up",),
    ),
    Break(
        promise=6,
        name="an-answer-is-kept-after-its-use",
        file=f"{STORAGE}/runs.py",
        old='            transaction.execute(SQL.answer_delete_stale, {"job_id": job_id})\n',
        new="",
        tests=("tests/storage/test_jobs.py", "-k", "questions_and_answers"),
    ),
    Break(
        promise=6,
        name="the-innermost-question-is-not-looked-at",
        file=f"{ENGINE}/questions.py",
        old="    asked = _pending(config, state)\n    return [interrupt_id",
        new="    asked = {interrupt.id for interrupt in state.interrupts}\n    return [interrupt_id",
        tests=("tests/proof/kills/test_answers.py", "-k", "after and run_write and side_by_side"),
    ),
    # --- 7 ---
    Break(
        promise=7,
        name="only-the-first-violation-is-told",
        file=f"{API}/checks.py",
        old="            raise FieldInvalidError.of(self._violations)\n",
        new="            raise FieldInvalidError.of(self._violations[:1])\n",
        tests=(f"{PROMISE_TESTS}::test_bad_input_is_refused_whole",),
    ),
    Break(
        promise=7,
        name="a-large-payload-is-taken",
        file=f"{API}/checks.py",
        old="        if size > self._payload_bytes:\n",
        new="        if size > 10 * self._payload_bytes:\n",
        tests=(f"{PROMISE_TESTS}::test_bad_input_is_refused_whole",),
    ),
    Break(
        promise=7,
        name="what-is-refused-leaves-something",
        file=f"{SQLITE}/writer.py",
        old="            if connection.total_changes != before:\n",
        new="            if connection.total_changes < before:\n",
        tests=("tests/storage/test_sqlite.py", "-k", "halfway"),
    ),
    Break(
        promise=7,
        name="what-is-no-json-is-taken",
        file=f"{API}/payload.py",
        old="text, parse_constant=_refuse_constant, parse_float",
        new="text, parse_float",
        tests=("tests/proof/hostile/test_conversions.py", "-k", "json_of_a_client"),
    ),
    # --- 8 ---
    Break(
        promise=8,
        name="no-limit-of-jobs",
        file=f"{STORAGE}/submissions.py",
        old='_count(transaction, SQL.job_count_unfinished, {"limit": limit}) >= limit:\n',
        new='_count(transaction, SQL.job_count_unfinished, {"limit": limit}) < 0:\n',
        tests=(f"{PROMISE_TESTS}::test_memory_is_bounded",),
    ),
    Break(
        promise=8,
        name="no-limit-of-jobs-with-a-key",
        file=f"{STORAGE}/turns.py",
        old="    is_full = transaction.row(SQL.key_is_full, key) is not None\n",
        new="    is_full = False\n",
        tests=(CHECKERS, "-k", "test_a_real_history_is_in_order"),
    ),
    Break(
        promise=8,
        name="no-limit-of-a-workflow-s-jobs",
        file=f"{STORAGE}/turns.py",
        old='row["places"] is None or row["places"] > 0}',
        new='row["places"] is None or row["places"] > -9}',
        tests=("tests/storage/test_concurrency.py",),
    ),
    Break(
        promise=8,
        name="no-limit-of-watches",
        file=f"{API}/limits.py",
        old="        if self.taken >= self._limit:\n",
        new="        if self.taken < 0:\n",
        tests=(f"{PROMISE_TESTS}::test_memory_is_bounded",),
    ),
    Break(
        promise=8,
        name="a-tail-without-end",
        file=f"{API}/hub.py",
        old="        while len(self.tail) > TAIL_EVENTS or self._tail_bytes > TAIL_BYTES:\n",
        new="        while not self.tail:\n",
        tests=("tests/api/test_watch.py", "-k", "tail_of_a_channel"),
    ),
    Break(
        promise=8,
        name="tokens-pile-up-for-a-reader-that-does-not-read",
        file=f"{API}/watch.py",
        old="deque(maxlen=TOKENS_WAITING)",
        new="deque()",
        tests=("tests/api/test_watch.py", "-k", "does_not_read_are_dropped"),
    ),
    Break(
        promise=8,
        name="no-limit-of-depth",
        file=f"{API}/payload.py",
        old="    if is_deeper(text, MAX_DEPTH):\n",
        new="    if is_deeper(text, 1000 * MAX_DEPTH):\n",
        tests=("tests/proof/hostile/test_conversions.py", "-k", "made_to_take_long"),
    ),
)

package io.github.autopilotjobs.client;

import static io.github.autopilotjobs.client.FakeService.changed;
import static io.github.autopilotjobs.client.FakeService.events;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.github.autopilotjobs.v1.JobState;
import io.grpc.Status;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class FollowTest {
  private final List<Long> seen = new ArrayList<>();
  private FakeService service;
  private AutopilotClient client;

  @BeforeEach
  void start() throws Exception {
    service = new FakeService();
    client = service.client();
  }

  @AfterEach
  void stop() {
    client.close();
    service.close();
  }

  private Job follow() {
    var options = FollowOptions.builder().onEvent(event -> seen.add(event.sequence())).build();
    return client.follow("j", options);
  }

  @Test
  void aFinishedJobsEventsAreAllSeen() {
    service
        .job(JobState.JOB_STATE_SUCCEEDED, 3)
        .watch(Status.OK, events(1, 2), changed(3, JobState.JOB_STATE_SUCCEEDED))
        .job(JobState.JOB_STATE_SUCCEEDED, 3);
    assertEquals(io.github.autopilotjobs.client.JobState.SUCCEEDED, follow().state());
    assertEquals(List.of(1L, 2L, 3L), seen);
  }

  @Test
  void anInterruptOfThePastIsAnEventLikeTheOthers() {
    service
        .job(JobState.JOB_STATE_RUNNING, 4)
        .watch(
            Status.OK,
            changed(1, JobState.JOB_STATE_INTERRUPTED),
            events(2, 3, 4),
            changed(5, JobState.JOB_STATE_SUCCEEDED))
        .job(JobState.JOB_STATE_SUCCEEDED, 5);
    assertEquals(io.github.autopilotjobs.client.JobState.SUCCEEDED, follow().state());
    assertEquals(List.of(1L, 2L, 3L, 4L, 5L), seen);
  }

  @Test
  void anInterruptedJobIsReturnedThoughItsWatchStaysOpen() {
    service
        .job(JobState.JOB_STATE_RUNNING, 1)
        .watch(
            answer -> {
              answer.onNext(events(1));
              answer.onNext(changed(2, JobState.JOB_STATE_INTERRUPTED));
            })
        .job(JobState.JOB_STATE_INTERRUPTED, 2);
    assertEquals(io.github.autopilotjobs.client.JobState.INTERRUPTED, follow().state());
    assertEquals(List.of(1L, 2L), seen);
  }

  @Test
  void aJobThatWasResumedMeanwhileIsFollowedOn() {
    service
        .job(JobState.JOB_STATE_INTERRUPTED, 2)
        .watch(answer -> answer.onNext(events(1, 2)))
        .job(JobState.JOB_STATE_RUNNING, 3)
        .watch(Status.OK, events(3), changed(4, JobState.JOB_STATE_FAILED))
        .job(JobState.JOB_STATE_FAILED, 4);
    assertEquals(io.github.autopilotjobs.client.JobState.FAILED, follow().state());
    assertEquals(List.of(1L, 2L, 3L, 4L), seen);
  }

  @Test
  void readingBearsBreaks() {
    service
        .get(answer -> answer.onError(Status.INTERNAL.asRuntimeException()))
        .job(JobState.JOB_STATE_CANCELLED, 0);
    assertEquals(io.github.autopilotjobs.client.JobState.CANCELLED, follow().state());
  }

  @Test
  void runThrowsOfAJobThatDoesNotSucceed() {
    service.job(JobState.JOB_STATE_FAILED, 0);
    var failed = assertThrows(JobFailedException.class, () -> client.run("w", null));
    assertEquals(io.github.autopilotjobs.client.JobState.FAILED, failed.job().state());
    service.job(JobState.JOB_STATE_CANCELLED, 0);
    assertThrows(JobCancelledException.class, () -> client.run("w", null));
    service.job(JobState.JOB_STATE_INTERRUPTED, 0);
    assertThrows(JobInterruptedException.class, () -> client.run("w", null));
  }
}

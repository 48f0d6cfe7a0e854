package io.github.autopilotjobs.conformance;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.github.autopilotjobs.client.JobCancelledException;
import io.github.autopilotjobs.client.JobEndedException;
import io.github.autopilotjobs.client.JobFailedException;
import io.github.autopilotjobs.client.errors.CallFailedException;
import io.github.autopilotjobs.client.errors.DeadlineExceededException;
import io.github.autopilotjobs.client.errors.ServerUnreachableException;

/** What the client threw, as the runner wants to read it. */
final class Errors {
  private Errors() {}

  static ObjectNode error(RuntimeException error) {
    if (error instanceof JobEndedException ended) {
      ObjectNode answer = answer(kind(ended), ended);
      answer.set("job", Answers.job(ended.job()));
      return answer;
    } else if (error instanceof ServerUnreachableException failed) {
      return answer("server_unreachable", failed).put("code", failed.code().name());
    } else if (error instanceof DeadlineExceededException failed) {
      return answer("deadline_exceeded", failed).put("code", failed.code().name());
    } else if (error instanceof CallFailedException failed) {
      return callFailed(failed);
    } else if (error instanceof IllegalArgumentException
        || error instanceof IllegalStateException) {
      return answer("usage", error);
    }
    throw error;
  }

  private static ObjectNode answer(String kind, RuntimeException error) {
    return Answers.object().put("kind", kind).put("message", error.getMessage());
  }

  private static String kind(JobEndedException ended) {
    if (ended instanceof JobFailedException) {
      return "job_failed";
    }
    return ended instanceof JobCancelledException ? "job_cancelled" : "job_interrupted";
  }

  private static ObjectNode callFailed(CallFailedException failed) {
    ObjectNode answer =
        answer("call_failed", failed)
            .put("type", failed.getClass().getSimpleName())
            .put("reason", failed.reason())
            .put("code", failed.code().name())
            .put("message", failed.failure().message())
            .putNull("retry_delay");
    failed.retryDelay().ifPresent(delay -> answer.put("retry_delay", delay.toMillis() / 1e3));
    answer.set("metadata", Answers.texts(failed.metadata()));
    var violations = answer.putArray("violations");
    failed
        .violations()
        .forEach(
            violation ->
                violations
                    .addObject()
                    .put("field", violation.field())
                    .put("description", violation.description()));
    return answer;
  }
}

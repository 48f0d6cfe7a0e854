package io.github.autopilotjobs.conformance;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.github.autopilotjobs.client.Checkpoint;
import io.github.autopilotjobs.client.Event;
import io.github.autopilotjobs.client.EventKind;
import io.github.autopilotjobs.client.Interrupt;
import io.github.autopilotjobs.client.Job;
import io.github.autopilotjobs.client.JobError;
import io.github.autopilotjobs.client.Pruned;
import io.github.autopilotjobs.client.Value;
import io.github.autopilotjobs.client.Workflow;
import java.time.Duration;
import java.time.Instant;
import java.util.Collection;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import java.util.stream.Stream;

/** What the client gave, as the runner wants to read it. */
final class Answers {
  private static final JsonNodeFactory NODES = JsonNodeFactory.instance;

  private Answers() {}

  static ObjectNode object() {
    return NODES.objectNode();
  }

  static JsonNode none() {
    return NODES.nullNode();
  }

  static <T> ArrayNode list(Stream<T> items, Function<T, JsonNode> convert) {
    ArrayNode list = NODES.arrayNode();
    items.map(convert).forEach(list::add);
    return list;
  }

  static void put(ObjectNode answer, String name, Value value) {
    value.omittedBytes().ifPresent(size -> answer.putObject(name).put("$omitted", size));
    if (value.isPresent()) {
      answer.set(name, value.node());
    }
  }

  static ObjectNode texts(Map<String, String> texts) {
    ObjectNode object = object();
    texts.forEach(object::put);
    return object;
  }

  private static ArrayNode texts(Collection<String> texts) {
    return list(texts.stream(), NODES::textNode);
  }

  static JsonNode answered(Job job) {
    return job(job).put("deduplicated", job.deduplicated());
  }

  static ObjectNode job(Job job) {
    ObjectNode answer =
        object()
            .put("job_id", job.jobId())
            .put("workflow", job.workflow())
            .put("thread_id", job.threadId())
            .put("state", job.state().name())
            .put("priority", job.priority())
            .put("attempt", job.attempt())
            .put("max_attempts", job.maxAttempts())
            .put("failed_attempts", job.failedAttempts())
            .put("checkpoint_id", job.checkpointId())
            .put("latest_sequence", job.latestSequence())
            .put("etag", job.etag())
            .put("concurrency_key", job.concurrencyKey())
            .putNull("deduplicated")
            .put("create_time", seconds(job.createTime()))
            .put("end_time", job.endTime().map(Answers::seconds).orElse(null));
    answer.set("labels", texts(job.labels()));
    answer.set("error", error(job.error()));
    answer.set("interrupts", list(job.interrupts().stream(), Answers::interrupt));
    answer.set("next_steps", texts(job.nextSteps()));
    put(answer, "input", job.input());
    put(answer, "output", job.output());
    return answer;
  }

  private static Double seconds(Instant time) {
    return time.getEpochSecond() + time.getNano() / 1e9;
  }

  private static double seconds(Duration span) {
    return span.toNanos() / 1e9;
  }

  private static JsonNode error(Optional<JobError> given) {
    return given.<JsonNode>map(Answers::error).orElse(none());
  }

  private static ObjectNode error(JobError error) {
    return object()
        .put("reason", error.reason())
        .put("message", error.message())
        .put("step", error.step())
        .put("exception_type", error.exceptionType());
  }

  private static ObjectNode interrupt(Interrupt interrupt) {
    ObjectNode answer =
        object().put("interrupt_id", interrupt.interruptId()).put("step", interrupt.step());
    put(answer, "value", interrupt.value());
    put(answer.putNull("response_schema"), "response_schema", interrupt.responseSchema());
    return answer;
  }

  static ObjectNode checkpoint(Checkpoint checkpoint) {
    ObjectNode answer =
        object()
            .put("checkpoint_id", checkpoint.checkpointId())
            .put("parent_checkpoint_id", checkpoint.parentCheckpointId())
            .put("superstep", checkpoint.superstep())
            .put("source", checkpoint.source());
    answer.set("next_steps", texts(checkpoint.nextSteps()));
    put(answer, "values", checkpoint.values());
    return answer;
  }

  static ObjectNode workflow(Workflow workflow) {
    ObjectNode answer =
        object()
            .put("name", workflow.name())
            .put("description", workflow.description())
            .put("max_running_jobs", workflow.maxRunningJobs())
            .put("max_running_jobs_per_key", workflow.maxRunningJobsPerKey());
    answer.set("steps", texts(workflow.steps()));
    put(answer, "input_schema", workflow.inputSchema());
    return answer;
  }

  static ObjectNode pruned(Pruned pruned) {
    return object()
        .put("deleted_jobs", pruned.jobs())
        .put("deleted_checkpoints", pruned.checkpoints());
  }

  // --- events ---

  static ObjectNode event(Event event) {
    return kind(event.kind())
        .put("kind", event.kind().getClass().getSimpleName())
        .put("sequence", event.sequence())
        .put("attempt", event.attempt())
        .put("fraction", event.progress().fraction());
  }

  private static ObjectNode kind(EventKind kind) {
    if (kind instanceof EventKind.StateChanged changed) {
      ObjectNode answer =
          object().put("from", changed.from().name()).put("to", changed.to().name());
      answer.set("error", error(changed.error()));
      return answer;
    } else if (kind instanceof EventKind.StepStarted started) {
      return object().put("step", started.step()).put("step_run_id", started.stepRunId());
    } else if (kind instanceof EventKind.StepFinished finished) {
      ObjectNode answer =
          object()
              .put("step", finished.step())
              .put("step_run_id", finished.stepRunId())
              .put("duration", seconds(finished.duration()));
      put(answer, "update", finished.update());
      return answer;
    } else if (kind instanceof EventKind.StepFailed failed) {
      ObjectNode answer =
          object()
              .put("step", failed.step())
              .put("step_run_id", failed.stepRunId())
              .put("duration", seconds(failed.duration()));
      answer.set("error", error(failed.error()));
      return answer;
    } else if (kind instanceof EventKind.InterruptRaised raised) {
      ObjectNode answer = object();
      answer.set("interrupt", interrupt(raised.interrupt()));
      return answer;
    }
    return lesserKind(kind);
  }

  private static ObjectNode lesserKind(EventKind kind) {
    if (kind instanceof EventKind.ProgressReported reported) {
      ObjectNode answer =
          object()
              .put("step", reported.step())
              .put("message", reported.message())
              .put("dropped", reported.dropped())
              .putNull("step_fraction");
      reported.fraction().ifPresent(fraction -> answer.put("step_fraction", fraction));
      put(answer, "data", reported.data());
      return answer;
    } else if (kind instanceof EventKind.CheckpointSaved saved) {
      ObjectNode answer =
          object().put("checkpoint_id", saved.checkpointId()).put("superstep", saved.superstep());
      answer.set("next_steps", texts(saved.nextSteps()));
      return answer;
    } else if (kind instanceof EventKind.TokenChunk token) {
      return object()
          .put("step", token.step())
          .put("message_id", token.messageId())
          .put("text", token.text());
    }
    return object();
  }
}

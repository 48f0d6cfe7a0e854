package io.github.autopilotjobs.conformance;

import com.fasterxml.jackson.databind.JsonNode;
import io.github.autopilotjobs.client.AutopilotClient;
import io.github.autopilotjobs.client.CancelOptions;
import io.github.autopilotjobs.client.ClientBuilder;
import io.github.autopilotjobs.client.DeleteOptions;
import io.github.autopilotjobs.client.GetOptions;
import io.github.autopilotjobs.client.JobFilter;
import io.github.autopilotjobs.client.JobState;
import io.github.autopilotjobs.client.ListOptions;
import io.github.autopilotjobs.client.PruneOptions;
import io.github.autopilotjobs.client.ResumeOptions;
import io.github.autopilotjobs.client.RetryPolicy;
import io.github.autopilotjobs.client.Submission;
import io.github.autopilotjobs.client.WatchOptions;
import io.grpc.TlsChannelCredentials;
import java.io.File;
import java.io.IOException;
import java.time.Duration;
import java.time.Instant;
import java.util.HashMap;
import java.util.Map;
import java.util.function.Consumer;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/** A command's arguments as the client's options. What is not there is not given to it either. */
record Arguments(JsonNode given) {
  boolean has(String name) {
    return given.has(name);
  }

  String text(String name) {
    return given.path(name).asText();
  }

  int integer(String name) {
    return given.get(name).intValue();
  }

  Duration seconds(String name) {
    return duration(given.get(name));
  }

  AutopilotClient client() throws IOException {
    ClientBuilder builder = AutopilotClient.builder(text("address"));
    when("token", token -> builder.token(token.textValue()));
    when("timeout", timeout -> builder.timeout(duration(timeout)));
    flag("insecure", builder::insecure);
    if (has("ca")) {
      builder.tls(tls());
    }
    return builder.build();
  }

  private io.grpc.ChannelCredentials tls() throws IOException {
    var credentials = TlsChannelCredentials.newBuilder().trustManager(new File(text("ca")));
    if (has("cert")) {
      credentials.keyManager(new File(text("cert")), new File(text("key")));
    }
    return credentials.build();
  }

  Submission submission() {
    var builder = Submission.builder(text("workflow"));
    when("input", builder::input);
    when("job_id", id -> builder.jobId(id.textValue()));
    when("request_id", id -> builder.requestId(id.textValue()));
    when("thread_id", id -> builder.threadId(id.textValue()));
    when("labels", labels -> builder.labels(texts(labels)));
    when("priority", priority -> builder.priority(priority.intValue()));
    when("scheduled_in", span -> builder.scheduledTime(Instant.now().plus(duration(span))));
    when("execution_timeout", span -> builder.executionTimeout(duration(span)));
    when("retry_policy", policy -> builder.retryPolicy(new Arguments(policy).retryPolicy()));
    when("retention", span -> builder.retention(duration(span)));
    when("interrupt_before", steps -> builder.interruptBefore(strings(steps)));
    when("interrupt_after", steps -> builder.interruptAfter(strings(steps)));
    when("context", builder::context);
    when("step_limit", limit -> builder.stepLimit(limit.intValue()));
    when("concurrency_key", key -> builder.concurrencyKey(key.textValue()));
    when("fork_from", id -> builder.forkFrom(id.textValue(), text("fork_checkpoint")));
    return builder.build();
  }

  private RetryPolicy retryPolicy() {
    var builder = RetryPolicy.builder();
    when("max_attempts", attempts -> builder.maxAttempts(attempts.intValue()));
    when("initial_backoff", span -> builder.initialBackoff(duration(span)));
    when("max_backoff", span -> builder.maxBackoff(duration(span)));
    when("backoff_multiplier", number -> builder.backoffMultiplier(number.doubleValue()));
    return builder.build();
  }

  GetOptions get() {
    var builder = GetOptions.builder();
    when("wait", span -> builder.waitAtMost(duration(span)));
    when("payloads", payloads -> builder.payloads(payloads.booleanValue()));
    return builder.build();
  }

  WatchOptions watch() {
    var builder = WatchOptions.builder();
    when("after_sequence", sequence -> builder.afterSequence(sequence.longValue()));
    when("reconnect_for", span -> builder.reconnectFor(duration(span)));
    flag("stop_when_caught_up", builder::stopWhenCaughtUp);
    flag("tokens", builder::tokens);
    return builder.build();
  }

  CancelOptions cancel() {
    var builder = CancelOptions.builder();
    when("reason", reason -> builder.reason(reason.textValue()));
    when("etag", etag -> builder.etag(etag.textValue()));
    when("grace_period", span -> builder.gracePeriod(duration(span)));
    return builder.build();
  }

  ResumeOptions resume() {
    var builder = ResumeOptions.builder();
    when("answer", builder::answer);
    when(
        "answers",
        answers ->
            answers.properties().forEach(each -> builder.answer(each.getKey(), each.getValue())));
    when("request_id", id -> builder.requestId(id.textValue()));
    when("etag", etag -> builder.etag(etag.textValue()));
    when("checkpoint_id", id -> builder.checkpointId(id.textValue()));
    when("state_update", builder::stateUpdate);
    when("state_update_step", step -> builder.stateUpdateStep(step.textValue()));
    return builder.build();
  }

  DeleteOptions delete() {
    var builder = DeleteOptions.builder();
    when("etag", etag -> builder.etag(etag.textValue()));
    flag("allow_missing", builder::allowMissing);
    return builder.build();
  }

  JobFilter filter() {
    var builder = JobFilter.builder();
    when("states", states -> builder.states(states(states)));
    when("workflow", workflow -> builder.workflow(workflow.textValue()));
    when("thread_id", id -> builder.threadId(id.textValue()));
    when("labels", labels -> builder.labels(texts(labels)));
    return builder.build();
  }

  private static JobState[] states(JsonNode names) {
    return Stream.of(strings(names)).map(JobState::valueOf).toArray(JobState[]::new);
  }

  ListOptions list() {
    var builder = ListOptions.builder();
    Stream.of("payloads", "values")
        .forEach(name -> when(name, payloads -> builder.payloads(payloads.booleanValue())));
    when("page_size", size -> builder.pageSize(size.intValue()));
    return builder.build();
  }

  PruneOptions prune() {
    var builder = PruneOptions.builder().filter(filter());
    flag("checkpoints_only", builder::checkpointsOnly);
    flag("dry_run", builder::dryRun);
    return builder.build();
  }

  private void when(String name, Consumer<JsonNode> use) {
    if (has(name)) {
      use.accept(given.get(name));
    }
  }

  private void flag(String name, Runnable use) {
    if (given.path(name).booleanValue()) {
      use.run();
    }
  }

  private static Duration duration(JsonNode seconds) {
    return Duration.ofNanos(Math.round(seconds.doubleValue() * 1e9));
  }

  private static String[] strings(JsonNode items) {
    return StreamSupport.stream(items.spliterator(), false)
        .map(JsonNode::textValue)
        .toArray(String[]::new);
  }

  private static Map<String, String> texts(JsonNode object) {
    Map<String, String> texts = new HashMap<>();
    object.properties().forEach(entry -> texts.put(entry.getKey(), entry.getValue().textValue()));
    return texts;
  }
}

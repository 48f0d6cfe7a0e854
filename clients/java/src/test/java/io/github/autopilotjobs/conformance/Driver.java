package io.github.autopilotjobs.conformance;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.github.autopilotjobs.client.AutopilotClient;
import io.github.autopilotjobs.client.Event;
import io.github.autopilotjobs.client.Value;
import io.github.autopilotjobs.client.Watch;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Iterator;
import java.util.concurrent.atomic.AtomicInteger;

/** The driver of the Java client: see clients/conformance/README.md. */
final class Driver {
  private static final JsonMapper MAPPER = JsonMapper.builder().build();

  private AutopilotClient client;
  private Watch watch;

  public static void main(String[] arguments) throws IOException {
    Driver driver = new Driver();
    var input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    var output = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    for (String line = input.readLine(); line != null; line = input.readLine()) {
      output.println(
          MAPPER.writeValueAsString(driver.answer(new Arguments(MAPPER.readTree(line)))));
    }
  }

  private ObjectNode answer(Arguments given) throws IOException {
    ObjectNode answer = Answers.object();
    try {
      answer.set("ok", carryOut(given));
    } catch (RuntimeException error) {
      answer.set("error", Errors.error(error));
    }
    return answer;
  }

  private JsonNode carryOut(Arguments given) throws IOException {
    switch (given.text("call")) {
      case "connect" -> connect(given);
      case "close" -> client.close();
      case "delete" -> timed(given).delete(given.text("job_id"), given.delete());
      case "watch" -> watch(given);
      case "unwatch" -> watch.close();
      default -> {
        return result(given);
      }
    }
    return Answers.none();
  }

  private JsonNode result(Arguments given) {
    AutopilotClient timed = timed(given);
    String jobId = given.text("job_id");
    return switch (given.text("call")) {
      case "submit" -> Answers.answered(timed.submit(given.submission()));
      case "run" -> run(timed, given);
      case "get" -> Answers.job(timed.get(jobId, given.get()));
      case "follow" -> Answers.job(timed.follow(jobId));
      case "next" -> next(given.integer("count"));
      case "cancel" -> Answers.job(timed.cancel(jobId, given.cancel()));
      case "resume" -> Answers.answered(timed.resume(jobId, given.resume()));
      case "list" -> Answers.list(timed.list(given.filter(), given.list()), Answers::job);
      case "checkpoints" ->
          Answers.list(timed.checkpoints(jobId, given.list()), Answers::checkpoint);
      case "prune" -> Answers.pruned(timed.prune(given.seconds("finished_for"), given.prune()));
      case "workflows" -> Answers.list(timed.workflows(), Answers::workflow);
      default -> throw new AssertionError("there is no such call");
    };
  }

  private AutopilotClient timed(Arguments given) {
    return given.has("timeout") ? client.withTimeout(given.seconds("timeout")) : client;
  }

  private void connect(Arguments given) throws IOException {
    AutopilotClient connected = given.client();
    if (client != null) {
      client.close();
    }
    client = connected;
  }

  private JsonNode run(AutopilotClient timed, Arguments given) {
    AtomicInteger seen = new AtomicInteger();
    Value output = timed.run(given.submission(), event -> seen.incrementAndGet());
    ObjectNode answer = Answers.object().put("events", seen.get());
    Answers.put(answer, "output", output);
    return answer;
  }

  private void watch(Arguments given) {
    if (watch != null) {
      watch.close();
    }
    watch = client.watch(given.text("job_id"), given.watch());
  }

  private JsonNode next(int count) {
    ObjectNode answer = Answers.object();
    var events = answer.putArray("events");
    Iterator<Event> rest = watch.iterator();
    boolean ended = false;
    while (!ended && events.size() < count) {
      ended = !rest.hasNext();
      if (!ended) {
        events.add(Answers.event(rest.next()));
      }
    }
    return answer.put("ended", ended);
  }
}

package io.github.autopilotjobs.client.errors;

/** Whatever goes wrong with calls and jobs. Mistakes that the client sees itself are Java's own. */
public abstract class AutopilotException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  protected AutopilotException(String message, Throwable cause) {
    super(message, cause);
  }
}

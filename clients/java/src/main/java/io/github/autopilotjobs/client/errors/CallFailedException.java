package io.github.autopilotjobs.client.errors;

import io.grpc.Status;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * A call failed. Each reason of the contract is a subclass; a status without a reason, or with one
 * that a newer server gave, is this class itself.
 */
public class CallFailedException extends AutopilotException {
  private static final long serialVersionUID = 1L;

  // Of no use elsewhere: gRPC's exceptions cannot be serialized either.
  private final transient CallFailure failure;

  /** Makes one; {@code cause} is gRPC's exception, or null. */
  public CallFailedException(CallFailure failure, Throwable cause) {
    super(failure.text(), cause);
    this.failure = failure;
  }

  /** The exception of a failure: the subclass of its reason, if it has one. */
  public static CallFailedException of(CallFailure failure, Throwable cause) {
    return switch (failure.reason()) {
      case "" -> withoutReason(failure, cause);
      case "FIELD_INVALID" -> new FieldInvalidException(failure, cause);
      case "PAYLOAD_TOO_LARGE" -> new PayloadTooLargeException(failure, cause);
      case "REQUEST_ID_REUSED" -> new RequestIdReusedException(failure, cause);
      case "PAGE_TOKEN_INVALID" -> new PageTokenInvalidException(failure, cause);
      case "JOB_NOT_FOUND" -> new JobNotFoundException(failure, cause);
      case "WORKFLOW_NOT_FOUND" -> new WorkflowNotFoundException(failure, cause);
      case "CHECKPOINT_NOT_FOUND" -> new CheckpointNotFoundException(failure, cause);
      case "JOB_ALREADY_EXISTS" -> new JobAlreadyExistsException(failure, cause);
      case "JOB_STATE_CONFLICT" -> new JobStateConflictException(failure, cause);
      case "INTERRUPT_NOT_PENDING" -> new InterruptNotPendingException(failure, cause);
      case "THREAD_BUSY" -> new ThreadBusyException(failure, cause);
      case "THREAD_ADVANCED" -> new ThreadAdvancedException(failure, cause);
      case "ETAG_MISMATCH" -> new EtagMismatchException(failure, cause);
      case "SEQUENCE_OUT_OF_RANGE" -> new SequenceOutOfRangeException(failure, cause);
      case "LIMIT_EXCEEDED" -> new LimitExceededException(failure, cause);
      case "SERVER_DRAINING" -> new ServerDrainingException(failure, cause);
      case "STORAGE_UNAVAILABLE" -> new StorageUnavailableException(failure, cause);
      case "INTERNAL_ERROR" -> new InternalErrorException(failure, cause);
      case "CREDENTIALS_INVALID" -> new CredentialsInvalidException(failure, cause);
      case "METHOD_FORBIDDEN" -> new MethodForbiddenException(failure, cause);
      default -> new CallFailedException(failure, cause);
    };
  }

  private static CallFailedException withoutReason(CallFailure failure, Throwable cause) {
    return switch (failure.code()) {
      case UNAVAILABLE -> new ServerUnreachableException(failure, cause);
      case DEADLINE_EXCEEDED -> new DeadlineExceededException(failure, cause);
      case CANCELLED -> new CallCancelledException(failure, cause);
      default -> new CallFailedException(failure, cause);
    };
  }

  /** {@return how the call ended} */
  public final CallFailure failure() {
    return failure;
  }

  /** {@return gRPC's code} */
  public final Status.Code code() {
    return failure.code();
  }

  /** {@return the server's reason, {@code "JOB_NOT_FOUND"} …; empty when it gave none} */
  public final String reason() {
    return failure.reason();
  }

  /** {@return what the reason is about, by name: see docs/errors.md} */
  public final Map<String, String> metadata() {
    return failure.metadata();
  }

  /** {@return each thing that is wrong with the request} */
  public final List<Violation> violations() {
    return failure.violations();
  }

  /** {@return after how long trying again makes sense; empty when the server did not say} */
  public final Optional<Duration> retryDelay() {
    return failure.retryDelay();
  }
}

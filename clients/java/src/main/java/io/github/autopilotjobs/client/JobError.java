package io.github.autopilotjobs.client;

/**
 * Why a job failed or was cancelled.
 *
 * @param reason {@code STEP_RAISED} …: see docs/errors.md
 * @param step the step that failed; empty when none did
 * @param exceptionType the exception's class; empty when there was none
 * @param traceback only where the server is told to return them
 */
public record JobError(
    String reason, String message, String step, String exceptionType, String traceback) {}

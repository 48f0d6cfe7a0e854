/**
 * What calls throw. {@link io.github.autopilotjobs.client.errors.AutopilotException} is all of it;
 * {@link io.github.autopilotjobs.client.errors.CallFailedException} has a subclass for each reason
 * of the contract.
 */
package io.github.autopilotjobs.client.errors;

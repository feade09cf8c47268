package io.portus.client;

import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.portus.registry.v1.WatchEventsRequest;
import io.portus.registry.v1.WatchEventsResponse;
import java.time.Duration;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ThreadLocalRandom;

/** How far a watch is: the request of its next call, and whether and when it is made. */
final class WatchProgress {
  /**
   * The same for all watches. Tests have shorter ones.
   *
   * @param steady how long a call must last, so that pauses begin with the shortest again
   * @param shortestSilence how long a watch may be silent at least, however short its heartbeats are
   */
  record Times(Duration firstPause, Duration longestPause, Duration steady, Duration shortestSilence) {
    static final Times DEFAULT =
        new Times(Duration.ofMillis(100), Duration.ofSeconds(30), Duration.ofSeconds(10), Duration.ofSeconds(10));
  }

  /** What follows after a call: an update for the caller, and the pause before the next call. */
  record Next(Optional<WatchUpdate> update, Duration pause) {}

  // A watch without any message for so many heartbeats is broken.
  private static final int MISSED_HEARTBEATS = 3;
  private static final Duration DEFAULT_HEARTBEAT = Duration.ofSeconds(15);
  private static final Set<String> LOST_CURSORS = Set.of("CURSOR_EXPIRED", "CURSOR_UNKNOWN");

  private final Duration giveUpAfter;
  private final Duration startTimeout;
  private final Times times;
  private WatchEventsRequest request;
  private long calledAt = 0;
  // Calls since the last that lasted.
  private int failures = 0;
  // When the first call failed after the last message.
  private Optional<Long> failingSince = Optional.empty();
  private boolean hasMessage = false;
  private boolean answered = false;
  private boolean listsAgain = false;

  /** The start timeout is for a watch that no gateway has answered yet. */
  WatchProgress(WatchEventsRequest request, Duration giveUpAfter, Duration startTimeout, Times times) {
    this.request = request;
    this.giveUpAfter = giveUpAfter;
    this.startTimeout = startTimeout;
    this.times = times;
  }

  Duration longestSilence() {
    Duration interval =
        request.hasHeartbeatInterval()
            ? Duration.ofSeconds(
                request.getHeartbeatInterval().getSeconds(), request.getHeartbeatInterval().getNanos())
            : DEFAULT_HEARTBEAT;
    return longer(interval.multipliedBy(MISSED_HEARTBEATS), times.shortestSilence());
  }

  /** The request of the call that is made now. */
  WatchEventsRequest nextRequest() {
    calledAt = System.nanoTime();
    return request;
  }

  WatchUpdate received(WatchEventsResponse message) {
    request = request.toBuilder().setAfterCursor(message.getCursor()).build();
    failingSince = Optional.empty();
    hasMessage = true;
    answered = true;
    listsAgain = false;
    return WatchUpdate.of(message);
  }

  /** The gateway has ended a call without an error. */
  Next ended() {
    return new Next(Optional.empty(), pause());
  }

  /**
   * A call has failed.
   *
   * @throws StatusRuntimeException the error, if it would come again, or if the watch has tried for long enough
   */
  Next failed(StatusRuntimeException error) {
    ErrorDetails details = ErrorDetails.of(error);
    answered |= !details.reason().isEmpty();
    boolean lost = details.code() == Status.Code.OUT_OF_RANGE && LOST_CURSORS.contains(details.reason());
    if (!lost && !isPassing(details)) {
      throw error;
    }
    Duration pause = pause().plus(details.retryDelay().orElse(Duration.ZERO));
    long now = System.nanoTime();
    if (failingSince.isEmpty()) {
      failingSince = Optional.of(now);
    }
    Duration patience = answered || giveUpAfter.compareTo(startTimeout) < 0 ? giveUpAfter : startTimeout;
    if (Duration.ofNanos(now - failingSince.get()).plus(pause).compareTo(patience) > 0) {
      throw error;
    }
    if (!lost) {
      return new Next(Optional.empty(), pause);
    }
    request = request.toBuilder().setCurrentState(true).build();
    boolean told = listsAgain;
    listsAgain = true;
    return new Next(told ? Optional.empty() : Optional.of(WatchUpdate.LIST_AGAIN), pause);
  }

  private boolean isPassing(ErrorDetails error) {
    return switch (error.code()) {
      case UNAVAILABLE, RESOURCE_EXHAUSTED, DEADLINE_EXCEEDED -> true;
      // Without a reason, these come from a proxy or from HTTP/2, when a stream breaks.
      case INTERNAL, UNKNOWN -> hasMessage && error.reason().isEmpty();
      // The credential has expired during the watch, or was replaced: the next call has the newest one.
      case UNAUTHENTICATED ->
          error.reason().equals("CREDENTIAL_INVALID") && hasMessage && failingSince.isEmpty();
      default -> false;
    };
  }

  private Duration pause() {
    if (System.nanoTime() - calledAt >= times.steady().toNanos()) {
      failures = 0;
    }
    double pause = Math.min(times.longestPause().toNanos(), times.firstPause().toNanos() * Math.pow(2, failures));
    failures++;
    // Spread, so that many clients do not come back at the same time.
    return Duration.ofNanos((long) (pause * ThreadLocalRandom.current().nextDouble(0.5, 1)));
  }

  private static Duration longer(Duration one, Duration other) {
    return one.compareTo(other) > 0 ? one : other;
  }
}

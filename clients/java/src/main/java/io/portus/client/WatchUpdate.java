package io.portus.client;

import io.portus.registry.v1.Event;
import io.portus.registry.v1.WatchEventsResponse;
import java.time.Instant;
import java.util.List;
import java.util.Optional;

/**
 * A message of a watch: some events, or none in a heartbeat.
 *
 * @param events in the order in which the index saw the changes; to receive one twice does no harm
 * @param cursor where another watch can continue after this update
 * @param asOf every change that the index saw up to this time has been sent; empty while the current state is listed
 * @param currentStateComplete everything that {@code current_state} lists has been sent
 * @param listAgain events were lost, because the cursor was too old or is not known any more. Forget what you know: the
 *     updates after this one list the current state.
 */
public record WatchUpdate(
    List<Event> events, String cursor, Optional<Instant> asOf, boolean currentStateComplete, boolean listAgain) {

  static final WatchUpdate LIST_AGAIN = new WatchUpdate(List.of(), "", Optional.empty(), false, true);

  static WatchUpdate of(WatchEventsResponse message) {
    return new WatchUpdate(
        message.getEventsList(),
        message.getCursor(),
        message.hasAsOf()
            ? Optional.of(Instant.ofEpochSecond(message.getAsOf().getSeconds(), message.getAsOf().getNanos()))
            : Optional.empty(),
        message.getCurrentStateComplete(),
        false);
  }
}

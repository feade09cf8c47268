package io.portus.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Any;
import com.google.protobuf.Duration;
import com.google.protobuf.Timestamp;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Context;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import io.portus.registry.v1.Event;
import io.portus.registry.v1.WatchEventsRequest;
import io.portus.registry.v1.WatchEventsResponse;
import java.io.IOException;
import java.net.ServerSocket;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(30)
class WatchTest {
  private static final WatchEventsRequest NOW = WatchEventsRequest.getDefaultInstance();
  private static final WatchEventsRequest SHORT_HEARTBEATS =
      WatchEventsRequest.newBuilder().setHeartbeatInterval(Duration.newBuilder().setNanos(1_000_000)).build();
  private static final WatchProgress.Times QUICK = times(1, 60_000);
  private static final Object SILENCE = new Object();
  private static final StatusRuntimeException LOST = refusal(Status.Code.UNAVAILABLE, "SHUTTING_DOWN", 0);
  private static final StatusRuntimeException EXPIRED = refusal(Status.Code.OUT_OF_RANGE, "CURSOR_EXPIRED", 0);
  private static final StatusRuntimeException UNKNOWN = refusal(Status.Code.OUT_OF_RANGE, "CURSOR_UNKNOWN", 0);
  // Ends a watch of a test.
  private static final StatusRuntimeException END = refusal(Status.Code.FAILED_PRECONDITION, "INDEX_DISABLED", 0);

  private Gateway gateway;
  private PortusClient client;
  private final List<String> began = new CopyOnWriteArrayList<>();
  private final CountDownLatch cancelled = new CountDownLatch(1);

  @BeforeEach
  void start() throws IOException {
    gateway = new Gateway();
    client = PortusClient.connect(gateway.address(), Security.plaintext());
  }

  @AfterEach
  void stop() {
    client.close();
    gateway.close();
  }

  @Test
  void updateHasItsEvents() {
    calls(List.of(message("1", "v1", "v2"), WatchEventsResponse.newBuilder().setCurrentStateComplete(true).build(), END));
    try (Watch watch = client.watch(NOW)) {
      Iterator<WatchUpdate> updates = watch.iterator();
      WatchUpdate first = updates.next();
      assertEquals(List.of("v1", "v2"), first.events().stream().map(Event::getTag).toList());
      assertEquals("1", first.cursor());
      assertEquals(Optional.of(Instant.ofEpochSecond(1000)), first.asOf());
      assertFalse(first.currentStateComplete());
      WatchUpdate second = updates.next();
      assertTrue(second.asOf().isEmpty());
      assertTrue(second.currentStateComplete());
    }
  }

  @Test
  void watchGoesOnAtItsLastCursor() {
    // An interruption; the gateway's time limit, which ends a watch well; and another interruption.
    calls(
        List.of(message("1"), message("2"), LOST),
        List.of(message("3")),
        List.of(refusal(Status.Code.DEADLINE_EXCEEDED, "", 0)),
        List.of(END));
    List<String> updates = new ArrayList<>();
    assertReason("INDEX_DISABLED", collect(WatchEventsRequest.newBuilder().setCurrentState(true).build(), QUICK, updates));
    assertEquals(List.of("1", "2", "3"), updates);
    assertEquals(List.of("current state", "2", "3", "3"), began);
  }

  @Test
  void lostEventsAreToldOnceAndTheCurrentStateFollows() {
    calls(List.of(EXPIRED), List.of(UNKNOWN), List.of(message("8"), UNKNOWN), List.of(END));
    List<String> updates = new ArrayList<>();
    collect(WatchEventsRequest.newBuilder().setAfterCursor("1").build(), QUICK, updates);
    assertEquals(List.of("list again", "8", "list again"), updates);
    assertEquals(List.of("1", "current state", "current state", "current state"), began);
  }

  @Test
  void errorThatWouldComeAgainEndsTheWatch() {
    for (StatusRuntimeException error :
        List.of(
            refusal(Status.Code.PERMISSION_DENIED, "POLICY_DENIED", 0),
            refusal(Status.Code.UNAUTHENTICATED, "TOKEN_UNKNOWN", 0),
            refusal(Status.Code.INVALID_ARGUMENT, "INVALID_FIELD", 0),
            refusal(Status.Code.OUT_OF_RANGE, "OTHER", 0),
            refusal(Status.Code.UNIMPLEMENTED, "", 0),
            refusal(Status.Code.INTERNAL, "INTERNAL", 0))) {
      calls(List.of(message("1"), error));
      List<String> updates = new ArrayList<>();
      assertEquals(error.getStatus().getCode(), collect(NOW, QUICK, updates).getStatus().getCode());
      assertEquals(List.of("1"), updates);
      assertEquals(1, began.size());
    }
  }

  @Test
  void streamThatAProxyBreaksContinues() {
    for (Status.Code code : List.of(Status.Code.INTERNAL, Status.Code.UNKNOWN)) {
      StatusRuntimeException broken = refusal(code, "", 0);
      calls(List.of(message("1"), broken), List.of(END));
      collect(NOW, QUICK, new ArrayList<>());
      assertEquals(List.of("now", "1"), began);
      // At the beginning, the address may be wrong.
      calls(List.of(broken));
      assertEquals(code, collect(NOW, QUICK, new ArrayList<>()).getStatus().getCode());
    }
  }

  @Test
  void watchWhoseCredentialHasExpiredContinuesWithTheNewestOne() {
    StatusRuntimeException old = refusal(Status.Code.UNAUTHENTICATED, "CREDENTIAL_INVALID", 0);
    calls(List.of(message("1"), old), List.of(message("2"), old), List.of(old));
    List<String> updates = new ArrayList<>();
    assertReason("CREDENTIAL_INVALID", collect(NOW, QUICK, updates));
    assertEquals(List.of("1", "2"), updates);
    // The newest one is not valid either.
    assertEquals(List.of("now", "1", "2"), began);
  }

  @Test
  void watchWaitsAsLongAsTheGatewayAsks() {
    StatusRuntimeException busy = refusal(Status.Code.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS", 300);
    calls(List.of(busy), List.of(busy), List.of(END));
    long start = System.nanoTime();
    assertReason("INDEX_DISABLED", collect(NOW, QUICK, new ArrayList<>()));
    assertTrue(System.nanoTime() - start > 600_000_000L);
    // Not for longer than it tries.
    calls(List.of(refusal(Status.Code.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS", 3_600_000)));
    assertReason("TOO_MANY_CALLS", collect(NOW, QUICK, new ArrayList<>()));
    assertEquals(1, began.size());
  }

  @Test
  void watchGivesUp() {
    StatusRuntimeException busy = refusal(Status.Code.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS", 0);
    calls(List.of(message("1"), busy), List.of(busy));
    try (Watch watch = client.watch(NOW, java.time.Duration.ofMillis(500))) {
      Iterator<WatchUpdate> updates = watch.iterator();
      updates.next();
      for (int time = 0; time < 2; time++) {
        assertReason("TOO_MANY_CALLS", assertThrows(StatusRuntimeException.class, updates::hasNext));
      }
    }
    assertTrue(began.size() >= 2 && began.size() <= 6, began.size() + " calls");
  }

  @Test
  void watchWithoutAnyGatewayFailsLikeACall() throws IOException {
    int port;
    try (ServerSocket socket = new ServerSocket(0)) {
      port = socket.getLocalPort();
    }
    Timeouts soon = Timeouts.DEFAULT.withCall(java.time.Duration.ofMillis(300));
    try (PortusClient lonely = PortusClient.connect("127.0.0.1:" + port, Security.plaintext(), soon);
        Watch watch = lonely.watch(NOW)) {
      Iterator<WatchUpdate> updates = watch.iterator();
      StatusRuntimeException error = assertThrows(StatusRuntimeException.class, updates::next);
      assertEquals(Status.Code.UNAVAILABLE, error.getStatus().getCode());
    }
  }

  @Test
  void silenceIsAnInterruption() throws InterruptedException {
    calls(List.of(message("1"), SILENCE), List.of(SILENCE), List.of(message("2"), END));
    List<String> updates = new ArrayList<>();
    assertReason("INDEX_DISABLED", collect(SHORT_HEARTBEATS, times(1, 200), updates));
    assertEquals(List.of("1", "2"), updates);
    assertEquals(List.of("now", "1", "1"), began);
    assertTrue(cancelled.await(10, TimeUnit.SECONDS), "the call goes on");
  }

  @Test
  void callerThatTakesItsTimeIsNotSilence() throws InterruptedException {
    calls(List.of(message("1"), message("2"), END));
    try (Watch watch = watch(SHORT_HEARTBEATS, times(1, 200))) {
      Iterator<WatchUpdate> updates = watch.iterator();
      for (String cursor : List.of("1", "2")) {
        assertEquals(cursor, updates.next().cursor());
        Thread.sleep(300);
      }
      assertReason("INDEX_DISABLED", assertThrows(StatusRuntimeException.class, updates::next));
    }
    assertEquals(1, began.size());
  }

  @Test
  void closingEndsTheCall() throws InterruptedException {
    calls(List.of(message("1"), SILENCE));
    try (Watch watch = client.watch(NOW)) {
      assertEquals("1", watch.iterator().next().cursor());
    }
    assertTrue(cancelled.await(10, TimeUnit.SECONDS), "the call goes on");
  }

  @Test
  void anotherThreadEndsTheWatchAtOnce() throws Exception {
    // While it waits for a message, and while it pauses; the watch itself, or its client.
    for (Object last : List.of(SILENCE, refusal(Status.Code.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS", 60_000))) {
      for (boolean all : new boolean[] {false, true}) {
        calls(List.of(message("1"), last));
        try (PortusClient own = PortusClient.connect(gateway.address(), Security.plaintext());
            Watch watch = own.watch(NOW)) {
          Iterator<WatchUpdate> updates = watch.iterator();
          updates.next();
          CompletableFuture<Boolean> next = CompletableFuture.supplyAsync(updates::hasNext);
          Thread.sleep(100);
          if (all) {
            own.close();
          } else {
            watch.close();
          }
          assertFalse(next.get(10, TimeUnit.SECONDS));
        }
      }
    }
  }

  @Test
  void interruptAndCancelledContextEndTheWatch() throws Exception {
    calls(List.of(message("1"), SILENCE));
    try (Watch watch = client.watch(NOW)) {
      Iterator<WatchUpdate> updates = watch.iterator();
      updates.next();
      Thread.currentThread().interrupt();
      StatusRuntimeException error = assertThrows(StatusRuntimeException.class, updates::hasNext);
      assertEquals(Status.Code.CANCELLED, error.getStatus().getCode());
      assertTrue(Thread.interrupted());
    }
    assertTrue(cancelled.await(10, TimeUnit.SECONDS), "the call goes on");
    try (Context.CancellableContext context = Context.current().withCancellation();
        Watch watch = context.call(() -> client.watch(NOW))) {
      Iterator<WatchUpdate> updates = watch.iterator();
      updates.next();
      context.cancel(null);
      StatusRuntimeException error = assertThrows(StatusRuntimeException.class, updates::hasNext);
      assertEquals(Status.Code.CANCELLED, error.getStatus().getCode());
    }
  }

  @Test
  void pausesGrowAndAMessageAloneDoesNotShortenThem() {
    List<List<Object>> steps = new ArrayList<>(Collections.nCopies(6, List.of(message("1"))));
    steps.add(List.of(END));
    calls(steps);
    long start = System.nanoTime();
    collect(NOW, times(10, 60_000), new ArrayList<>());
    // 10, 20, 40, 80, 160, 320 ms, each at least the half.
    assertTrue(System.nanoTime() - start > 300_000_000L);
  }

  @SafeVarargs
  private void calls(List<Object>... steps) {
    calls(List.of(steps));
  }

  /** Each call sends its steps: messages, and an error as the last one. After the last call, each is like the last. */
  private void calls(List<List<Object>> steps) {
    began.clear();
    gateway.watch =
        (request, observer) -> {
          observer.setOnCancelHandler(cancelled::countDown);
          began.add(request.getCurrentState() ? "current state" : request.hasAfterCursor() ? request.getAfterCursor() : "now");
          for (Object step : steps.get(Math.min(began.size(), steps.size()) - 1)) {
            if (step == SILENCE) {
              return;
            }
            if (step instanceof StatusRuntimeException error) {
              observer.onError(error);
              return;
            }
            observer.onNext((WatchEventsResponse) step);
          }
          observer.onCompleted();
        };
  }

  private Watch watch(WatchEventsRequest request, WatchProgress.Times times) {
    java.time.Duration startTimeout = java.time.Duration.ofSeconds(30);
    return new Watch(client.channel(), request, Watch.DEFAULT_GIVE_UP_AFTER, startTimeout, times, closed -> {});
  }

  /** Adds what a watch gives to {@code updates}, and returns its error. */
  private StatusRuntimeException collect(WatchEventsRequest request, WatchProgress.Times times, List<String> updates) {
    try (Watch watch = watch(request, times)) {
      for (WatchUpdate update : watch) {
        updates.add(update.listAgain() ? "list again" : update.cursor());
      }
      throw new AssertionError("the watch ended without an error");
    } catch (StatusRuntimeException error) {
      return error;
    }
  }

  private static WatchProgress.Times times(int firstPauseMillis, int shortestSilenceMillis) {
    return new WatchProgress.Times(
        java.time.Duration.ofMillis(firstPauseMillis),
        java.time.Duration.ofSeconds(30),
        java.time.Duration.ofSeconds(10),
        java.time.Duration.ofMillis(shortestSilenceMillis));
  }

  private static WatchEventsResponse message(String cursor, String... tags) {
    WatchEventsResponse.Builder message =
        WatchEventsResponse.newBuilder().setCursor(cursor).setAsOf(Timestamp.newBuilder().setSeconds(1000));
    for (String tag : tags) {
      message.addEvents(Event.newBuilder().setRepository("team/app").setTag(tag));
    }
    return message.build();
  }

  private static StatusRuntimeException refusal(Status.Code code, String reason, long retryMillis) {
    com.google.rpc.Status.Builder status =
        com.google.rpc.Status.newBuilder().setCode(code.value()).setMessage("refused");
    if (!reason.isEmpty()) {
      status.addDetails(Any.pack(ErrorInfo.newBuilder().setDomain("portus-gateway").setReason(reason).build()));
    }
    if (retryMillis > 0) {
      Duration delay =
          Duration.newBuilder().setSeconds(retryMillis / 1000).setNanos((int) (retryMillis % 1000) * 1_000_000).build();
      status.addDetails(Any.pack(RetryInfo.newBuilder().setRetryDelay(delay).build()));
    }
    return StatusProto.toStatusRuntimeException(status.build());
  }

  private static void assertReason(String reason, StatusRuntimeException error) {
    assertEquals(reason, ErrorDetails.of(error).reason(), error.toString());
  }
}

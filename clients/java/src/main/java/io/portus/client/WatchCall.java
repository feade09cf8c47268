package io.portus.client;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.ClientResponseObserver;
import io.portus.registry.v1.RegistryServiceGrpc;
import io.portus.registry.v1.WatchEventsRequest;
import io.portus.registry.v1.WatchEventsResponse;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** One call of WatchEvents, whose messages are waited for with a limit. gRPC's own iterators have no limit. */
final class WatchCall implements ClientResponseObserver<WatchEventsRequest, WatchEventsResponse> {
  /** A message, or the end of the call: well, or with an error. */
  private record Step(Optional<WatchEventsResponse> message, Optional<StatusRuntimeException> error) {}

  // The next message is requested when the one before has been taken, so there are two at most.
  private final BlockingQueue<Step> steps = new LinkedBlockingQueue<>();
  private ClientCallStreamObserver<WatchEventsRequest> call;

  private WatchCall() {}

  /** Begins a call. It is cancelled with the current context. */
  static WatchCall begin(Channel channel, WatchEventsRequest request) {
    WatchCall begun = new WatchCall();
    ClientCalls.asyncServerStreamingCall(
        channel.newCall(RegistryServiceGrpc.getWatchEventsMethod(), CallOptions.DEFAULT), request, begun);
    return begun;
  }

  /**
   * Waits for the next message. It is empty if the gateway has ended the call without an error.
   *
   * @throws StatusRuntimeException if the call has failed; UNAVAILABLE if nothing comes within {@code limit}
   */
  Optional<WatchEventsResponse> next(Duration limit) throws InterruptedException {
    Step step = steps.poll(limit.toNanos(), TimeUnit.NANOSECONDS);
    if (step == null) {
      cancel();
      throw Status.UNAVAILABLE
          .withDescription("the watch received nothing for %s s, not even a heartbeat".formatted(limit.toSeconds()))
          .asRuntimeException();
    }
    if (step.error().isPresent()) {
      throw step.error().get();
    }
    if (step.message().isPresent()) {
      call.request(1);
    }
    return step.message();
  }

  void cancel() {
    call.cancel("the watch has ended", null);
  }

  @Override
  public void beforeStart(ClientCallStreamObserver<WatchEventsRequest> started) {
    call = started;
    call.disableAutoRequestWithInitial(1);
  }

  @Override
  public void onNext(WatchEventsResponse message) {
    steps.add(new Step(Optional.of(message), Optional.empty()));
  }

  @Override
  public void onError(Throwable error) {
    StatusRuntimeException failure =
        new StatusRuntimeException(Status.fromThrowable(error), Status.trailersFromThrowable(error));
    steps.add(new Step(Optional.empty(), Optional.of(failure)));
  }

  @Override
  public void onCompleted() {
    steps.add(new Step(Optional.empty(), Optional.empty()));
  }
}

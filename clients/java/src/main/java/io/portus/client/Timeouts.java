package io.portus.client;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.MethodDescriptor;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/**
 * Maximum durations of calls that have no deadline of their own. They include retries.
 *
 * @param call of a call: 30 s by default
 * @param delete of a delete: 120 s by default, because a registry needs about 2 ms for each tag of the deleted digest.
 *     When it expires, the manifest may or may not be deleted.
 * @param stream of StreamCatalog as a whole, of each call of a batch, and of each call of ReadBlob: 10 minutes by default.
 *     A batch of deletes has the longer one of this and {@code delete}.
 */
public record Timeouts(Duration call, Duration delete, Duration stream) {
  /** The default values. */
  public static final Timeouts DEFAULT =
      new Timeouts(Duration.ofSeconds(30), Duration.ofSeconds(120), Duration.ofMinutes(10));

  /** These timeouts with another one for calls. */
  public Timeouts withCall(Duration timeout) {
    return new Timeouts(timeout, delete, stream);
  }

  /** These timeouts with another one for deletes. */
  public Timeouts withDelete(Duration timeout) {
    return new Timeouts(call, timeout, stream);
  }

  /** These timeouts with another one for streams. */
  public Timeouts withStream(Duration timeout) {
    return new Timeouts(call, delete, timeout);
  }

  ClientInterceptor interceptor() {
    return new DefaultDeadline(this);
  }

  private Duration of(MethodDescriptor<?, ?> method) {
    if (method.getType() != MethodDescriptor.MethodType.UNARY) {
      return method.getBareMethodName().contains("Delete") && delete.compareTo(stream) > 0 ? delete : stream;
    }
    return method.getBareMethodName().contains("Delete") ? delete : call;
  }

  private static final String WATCH = "WatchEvents";

  private record DefaultDeadline(Timeouts timeouts) implements ClientInterceptor {
    @Override
    public <Q, A> ClientCall<Q, A> interceptCall(MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
      // A watch has no end. Keepalive notices a gateway that hangs.
      if (options.getDeadline() == null && !WATCH.equals(method.getBareMethodName())) {
        options = options.withDeadlineAfter(timeouts.of(method).toNanos(), TimeUnit.NANOSECONDS);
      }
      return next.newCall(method, options);
    }
  }
}

package io.portus.client;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.MethodDescriptor;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/** Gives a deadline to each call that has none. */
record DefaultDeadline(Duration timeout, Duration streamTimeout) implements ClientInterceptor {
  @Override
  public <Q, A> ClientCall<Q, A> interceptCall(MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
    if (options.getDeadline() == null) {
      Duration time = method.getType() == MethodDescriptor.MethodType.UNARY ? timeout : streamTimeout;
      options = options.withDeadlineAfter(time.toNanos(), TimeUnit.NANOSECONDS);
    }
    return next.newCall(method, options);
  }
}

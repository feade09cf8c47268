package io.portus.client;

import io.grpc.Channel;
import io.grpc.Context;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.portus.registry.v1.WatchEventsRequest;
import io.portus.registry.v1.WatchEventsResponse;
import java.time.Duration;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/**
 * What changes in the registry, as the gateway's index sees it. {@link PortusClient#watch} makes it.
 *
 * <p>It has no end: {@code hasNext()} waits for the next update. To end it at once, close it, or the client, from any
 * thread: {@code hasNext()} is then false. If the thread is interrupted, it throws CANCELLED.
 *
 * <p>It continues by itself at its last cursor when the gateway stops, when the connection is lost, when a limit of the
 * gateway is reached, and when nothing comes for three heartbeats. If this fails for too long (10 minutes unless set), the
 * iterator throws the last error; if no gateway has answered yet, after the client's timeout of calls. It throws errors
 * that would come again at once, such as PERMISSION_DENIED and INVALID_ARGUMENT.
 *
 * <p>If the gateway does not have the changes since the cursor any more, an update with {@link WatchUpdate#listAgain} says
 * so, and the current state follows.
 *
 * <p>Each iterator begins where the request says. Iterators are not safe for concurrent use.
 */
public final class Watch implements Iterable<WatchUpdate>, AutoCloseable {
  /** How long a watch tries to go on while no message comes. */
  public static final Duration DEFAULT_GIVE_UP_AFTER = Duration.ofMinutes(10);

  private final Channel channel;
  private final WatchEventsRequest request;
  private final Duration giveUpAfter;
  private final Duration startTimeout;
  private final WatchProgress.Times times;
  private final Consumer<Watch> closing;
  private final Context.CancellableContext context = Context.current().withCancellation();
  private final CountDownLatch cancelled = new CountDownLatch(1);
  private volatile boolean closed = false;

  Watch(
      Channel channel,
      WatchEventsRequest request,
      Duration giveUpAfter,
      Duration startTimeout,
      WatchProgress.Times times,
      Consumer<Watch> closing) {
    this.channel = channel;
    this.request = request;
    this.giveUpAfter = giveUpAfter;
    this.startTimeout = startTimeout;
    this.times = times;
    this.closing = closing;
    context.addListener(ended -> cancelled.countDown(), Runnable::run);
  }

  @Override
  public Iterator<WatchUpdate> iterator() {
    return new Updates(new WatchProgress(request, giveUpAfter, startTimeout, times));
  }

  /** Ends the watch. */
  @Override
  public void close() {
    closed = true;
    context.cancel(null);
    closing.accept(this);
  }

  private final class Updates implements Iterator<WatchUpdate> {
    private final WatchProgress progress;
    private Optional<WatchCall> call = Optional.empty();
    private Optional<WatchUpdate> next = Optional.empty();
    private Duration pause = Duration.ZERO;
    private StatusRuntimeException failure = null;

    Updates(WatchProgress progress) {
      this.progress = progress;
    }

    @Override
    public boolean hasNext() {
      while (next.isEmpty() && !closed) {
        if (failure != null) {
          throw failure;
        }
        try {
          advance();
        } catch (StatusRuntimeException error) {
          failure = error;
        } catch (InterruptedException error) {
          Thread.currentThread().interrupt();
          call.ifPresent(WatchCall::cancel);
          failure = Status.CANCELLED.withDescription("the thread was interrupted").withCause(error).asRuntimeException();
        }
      }
      return !closed;
    }

    @Override
    public WatchUpdate next() {
      if (!hasNext()) {
        throw new NoSuchElementException();
      }
      WatchUpdate update = next.get();
      next = Optional.empty();
      return update;
    }

    /** Makes a call if there is none, and takes what it sends. */
    private void advance() throws InterruptedException {
      if (call.isEmpty()) {
        if (cancelled.await(pause.toNanos(), TimeUnit.NANOSECONDS)) {
          throw Status.CANCELLED.withDescription("the context of the watch was cancelled").asRuntimeException();
        }
        WatchEventsRequest following = progress.nextRequest();
        context.run(() -> call = Optional.of(WatchCall.begin(channel, following)));
      }
      WatchProgress.Next following;
      try {
        Optional<WatchEventsResponse> message = call.get().next(progress.longestSilence());
        if (message.isPresent()) {
          next = Optional.of(progress.received(message.get()));
          return;
        }
        following = progress.ended();
      } catch (StatusRuntimeException error) {
        if (context.isCancelled()) {
          throw error;
        }
        following = progress.failed(error);
      }
      call = Optional.empty();
      next = following.update();
      pause = following.pause();
    }
  }
}

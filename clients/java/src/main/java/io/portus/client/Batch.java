package io.portus.client;

import io.grpc.Context;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.util.BitSet;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.function.Function;
import java.util.function.ToIntFunction;

/**
 * The results of a batch, in the order in which the gateway has them. The first call is made when an iterator is used.
 * Each iterator makes the calls again; a batch of deletes has only one.
 *
 * <p>Close it, for example with try-with-resources. Otherwise a loop that is left early leaves a call running.
 *
 * @param <T> the result of one request
 */
public final class Batch<T> implements Iterable<T>, AutoCloseable {
  // The gateway's limit for one call.
  private static final int MOST_REQUESTS = 1000;

  private final int requests;
  private final int mostInCall;
  private final boolean repeatable;
  private final Call<T> call;
  private final ToIntFunction<T> index;
  private final WithIndex<T> withIndex;
  private final Context.CancellableContext context = Context.current().withCancellation();
  private boolean used = false;

  private Batch(
      int requests, int mostInCall, boolean repeatable, Call<T> call, ToIntFunction<T> index, WithIndex<T> withIndex) {
    this.requests = requests;
    this.mostInCall = mostInCall;
    this.repeatable = repeatable;
    this.call = call;
    this.index = index;
    this.withIndex = withIndex;
  }

  /** Makes the call for the requests from {@code first} to {@code end}, and returns its messages. */
  interface Call<T> {
    Iterator<List<T>> make(int first, int end);
  }

  /** Returns a result with the position of its request in the batch. */
  interface WithIndex<T> {
    T apply(T result, int index);
  }

  /** A batch of reads. Every 1000 requests are one call. */
  static <T> Batch<T> ofReads(int requests, Call<T> call, ToIntFunction<T> index, WithIndex<T> withIndex) {
    return new Batch<>(requests, MOST_REQUESTS, true, call, index, withIndex);
  }

  /** A batch of deletes: one call, which is never made again. */
  static <T> Batch<T> ofDeletes(int requests, Call<T> call, ToIntFunction<T> index) {
    return new Batch<>(requests, Math.max(requests, 1), false, call, index, (result, position) -> result);
  }

  /** The results in each of the messages. */
  static <M, T> Iterator<List<T>> results(Iterator<M> messages, Function<M, List<T>> results) {
    return new Iterator<>() {
      @Override
      public boolean hasNext() {
        return messages.hasNext();
      }

      @Override
      public List<T> next() {
        return results.apply(messages.next());
      }
    };
  }

  /**
   * Iterates over the results.
   *
   * @throws IllegalStateException for a second iterator over deletes
   */
  @Override
  public Iterator<T> iterator() {
    if (used && !repeatable) {
      throw new IllegalStateException("a batch of deletes is not repeated: make a new one");
    }
    used = true;
    return new Results();
  }

  /** Cancels the calls that are still running. */
  @Override
  public void close() {
    context.cancel(null);
  }

  /** Iterates over the calls, and over the messages of each call. */
  private final class Results implements Iterator<T> {
    private int first = 0;
    private int end = 0;
    private final BitSet missing = new BitSet();
    private Iterator<List<T>> messages = Collections.emptyIterator();
    private Iterator<T> message = Collections.emptyIterator();

    @Override
    public boolean hasNext() {
      while (!message.hasNext()) {
        if (messages.hasNext()) {
          message = messages.next().iterator();
        } else if (!missing.isEmpty()) {
          throw invalid("%d of %d requests have no result", missing.cardinality(), end - first);
        } else if (end == requests) {
          return false;
        } else {
          begin();
        }
      }
      return true;
    }

    @Override
    public T next() {
      if (!hasNext()) {
        throw new NoSuchElementException();
      }
      T result = message.next();
      int position = index.applyAsInt(result);
      if (position < 0 || !missing.get(position)) {
        throw invalid("the result for request %d comes twice or was not requested", position);
      }
      missing.clear(position);
      return withIndex.apply(result, first + position);
    }

    private void begin() {
      first = end;
      end = Math.min(first + mostInCall, requests);
      missing.set(0, end - first);
      context.run(() -> messages = call.make(first, end));
    }

    private StatusRuntimeException invalid(String format, Object... arguments) {
      close();
      return Status.INTERNAL
          .withDescription("the gateway's response to a batch is invalid: " + format.formatted(arguments))
          .asRuntimeException();
    }
  }
}

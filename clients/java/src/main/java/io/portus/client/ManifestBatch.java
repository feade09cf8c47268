package io.portus.client;

import io.grpc.Context;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.portus.registry.v1.BatchGetManifestsRequest;
import io.portus.registry.v1.BatchGetManifestsResponse;
import io.portus.registry.v1.BatchGetManifestsResult;
import io.portus.registry.v1.GetManifestRequest;
import io.portus.registry.v1.RegistryServiceGrpc.RegistryServiceBlockingStub;
import java.util.BitSet;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;

/**
 * The results of {@link PortusClient#batchManifests}. The first call is made when an iterator is used. Each iterator
 * fetches everything again.
 *
 * <p>Close it, for example with try-with-resources. Otherwise a loop that is left early leaves a call running.
 */
public final class ManifestBatch implements Iterable<BatchGetManifestsResult>, AutoCloseable {
  // The gateway's limit for one call.
  private static final int MOST_REQUESTS = 1000;

  private final RegistryServiceBlockingStub stub;
  private final List<GetManifestRequest> requests;
  private final Context.CancellableContext context = Context.current().withCancellation();

  ManifestBatch(RegistryServiceBlockingStub stub, List<GetManifestRequest> requests) {
    this.stub = stub;
    this.requests = List.copyOf(requests);
  }

  @Override
  public Iterator<BatchGetManifestsResult> iterator() {
    return new Results();
  }

  /** Cancels the calls that are still running. */
  @Override
  public void close() {
    context.cancel(null);
  }

  /** Iterates over the calls, and over the messages of each call. */
  private final class Results implements Iterator<BatchGetManifestsResult> {
    private int first = 0;
    private int end = 0;
    private final BitSet missing = new BitSet();
    private Iterator<BatchGetManifestsResponse> call = Collections.emptyIterator();
    private Iterator<BatchGetManifestsResult> message = Collections.emptyIterator();

    @Override
    public boolean hasNext() {
      while (!message.hasNext()) {
        if (call.hasNext()) {
          message = call.next().getResultsList().iterator();
        } else if (!missing.isEmpty()) {
          throw invalid("%d of %d requests have no result", missing.cardinality(), end - first);
        } else if (end == requests.size()) {
          return false;
        } else {
          begin();
        }
      }
      return true;
    }

    @Override
    public BatchGetManifestsResult next() {
      if (!hasNext()) {
        throw new NoSuchElementException();
      }
      BatchGetManifestsResult result = message.next();
      int index = result.getRequestIndex();
      if (index < 0 || !missing.get(index)) {
        throw invalid("the result for request %d comes twice or was not requested", index);
      }
      missing.clear(index);
      return result.toBuilder().setRequestIndex(first + index).build();
    }

    private void begin() {
      first = end;
      end = Math.min(first + MOST_REQUESTS, requests.size());
      missing.set(0, end - first);
      BatchGetManifestsRequest request =
          BatchGetManifestsRequest.newBuilder().addAllRequests(requests.subList(first, end)).build();
      context.run(() -> call = stub.batchGetManifests(request));
    }

    private StatusRuntimeException invalid(String format, Object... arguments) {
      close();
      return Status.INTERNAL
          .withDescription("the gateway's response to a batch is invalid: " + format.formatted(arguments))
          .asRuntimeException();
    }
  }
}

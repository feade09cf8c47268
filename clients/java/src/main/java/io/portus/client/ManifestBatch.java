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
 * Many manifests, as {@link PortusClient#batchManifests} asks for them. The first iterator makes the first call; each
 * further iterator asks for everything again.
 *
 * <p>Close it, best by try-with-resources: a loop that is left early leaves a call running.
 */
public final class ManifestBatch implements Iterable<BatchGetManifestsResult>, AutoCloseable {
  // The gateway takes no more in one call.
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

  /** Ends the calls that still run. */
  @Override
  public void close() {
    context.cancel(null);
  }

  /** Call by call, and of each call message by message. */
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
          throw unfit("it ended without a result for %d of %d requests", missing.cardinality(), end - first);
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
        throw unfit("it answers request %d, which was answered already or never made", index);
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

    private StatusRuntimeException unfit(String format, Object... arguments) {
      close();
      return Status.INTERNAL
          .withDescription("the gateway's answer to a batch does not fit: " + format.formatted(arguments))
          .asRuntimeException();
    }
  }
}

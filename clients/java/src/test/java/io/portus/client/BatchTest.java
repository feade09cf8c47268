package io.portus.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.rpc.ErrorInfo;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ServerCallStreamObserver;
import io.portus.registry.v1.BatchDeleteManifestsRequest;
import io.portus.registry.v1.BatchDeleteManifestsResponse;
import io.portus.registry.v1.BatchDeleteManifestsResult;
import io.portus.registry.v1.BatchGetImageConfigsResponse;
import io.portus.registry.v1.BatchGetImageConfigsResult;
import io.portus.registry.v1.BatchGetManifestsRequest;
import io.portus.registry.v1.BatchGetManifestsResponse;
import io.portus.registry.v1.BatchGetManifestsResult;
import io.portus.registry.v1.BatchResolveManifestsResponse;
import io.portus.registry.v1.BatchResolveManifestsResult;
import io.portus.registry.v1.DeleteManifestRequest;
import io.portus.registry.v1.DeleteManifestResponse;
import io.portus.registry.v1.Descriptor;
import io.portus.registry.v1.GetImageConfigRequest;
import io.portus.registry.v1.GetManifestRequest;
import io.portus.registry.v1.ImageConfig;
import io.portus.registry.v1.Manifest;
import io.portus.registry.v1.ResolveManifestRequest;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(30)
class BatchTest {
  private Gateway gateway;
  private PortusClient client;

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
  void resultsComeAsTheyAreKnownAndWhatFailsIsOneRequestsOwn() {
    gateway.batch =
        (request, observer) -> {
          ErrorInfo info = ErrorInfo.newBuilder().setReason("MANIFEST_UNKNOWN").build();
          observer.onNext(
              message(
                  answer(request, 2),
                  BatchGetManifestsResult.newBuilder()
                      .setRequestIndex(0)
                      .setStatus(com.google.rpc.Status.newBuilder().setCode(5).addDetails(Any.pack(info)))
                      .build()));
          observer.onNext(message(answer(request, 1)));
          observer.onCompleted();
        };
    try (Batch<BatchGetManifestsResult> batch = client.batchManifests(requests(3))) {
      for (int time = 0; time < 2; time++) { // an Iterable can be used again
        List<String> got = new ArrayList<>();
        for (BatchGetManifestsResult result : batch) {
          String outcome =
              result.hasStatus()
                  ? ErrorDetails.of(result.getStatus()).reason()
                  : result.getManifest().getRaw().toStringUtf8();
          got.add(result.getRequestIndex() + " " + outcome);
        }
        assertEquals(List.of("2 tag-2", "0 MANIFEST_UNKNOWN", "1 tag-1"), got);
      }
    }
  }

  @Test
  void batchOfManyTakesSeveralCallsEachWhenItIsNeeded() {
    List<Integer> sizes = new CopyOnWriteArrayList<>();
    gateway.batch =
        (request, observer) -> {
          sizes.add(request.getRequestsCount());
          answerAll(request, observer);
        };
    try (Batch<BatchGetManifestsResult> batch = client.batchManifests(requests(2500))) {
      assertEquals(0, gateway.calls());
      int next = 0;
      for (BatchGetManifestsResult result : batch) {
        assertEquals(next / 1000 + 1, gateway.calls());
        assertEquals(next, result.getRequestIndex());
        assertEquals("tag-" + next, result.getManifest().getRaw().toStringUtf8());
        next++;
      }
      assertEquals(2500, next);
    }
    assertEquals(List.of(1000, 1000, 500), sizes);
  }

  @Test
  void otherBatchesTakeSeveralCallsToo() {
    gateway.resolve =
        (request, observer) -> {
          for (int index = 0; index < request.getRequestsCount(); index++) {
            Descriptor found = Descriptor.newBuilder().setDigest(request.getRequests(index).getTag()).build();
            observer.onNext(
                BatchResolveManifestsResponse.newBuilder()
                    .addResults(
                        BatchResolveManifestsResult.newBuilder().setRequestIndex(index).setContentDescriptor(found))
                    .build());
          }
          observer.onCompleted();
        };
    gateway.configs =
        (request, observer) -> {
          for (int index = 0; index < request.getRequestsCount(); index++) {
            ImageConfig found = ImageConfig.newBuilder().setAuthor(request.getRequests(index).getTag()).build();
            observer.onNext(
                BatchGetImageConfigsResponse.newBuilder()
                    .addResults(BatchGetImageConfigsResult.newBuilder().setRequestIndex(index).setImageConfig(found))
                    .build());
          }
          observer.onCompleted();
        };
    List<ResolveManifestRequest> references =
        IntStream.range(0, 1001).mapToObj(n -> ResolveManifestRequest.newBuilder().setTag("tag-" + n).build()).toList();
    List<GetImageConfigRequest> configs =
        IntStream.range(0, 1001).mapToObj(n -> GetImageConfigRequest.newBuilder().setTag("tag-" + n).build()).toList();
    int count = 0;
    try (Batch<BatchResolveManifestsResult> batch = client.batchResolve(references)) {
      for (BatchResolveManifestsResult result : batch) {
        assertEquals("tag-" + result.getRequestIndex(), result.getContentDescriptor().getDigest());
        count++;
      }
    }
    try (Batch<BatchGetImageConfigsResult> batch = client.batchImageConfigs(configs)) {
      for (BatchGetImageConfigsResult result : batch) {
        assertEquals("tag-" + result.getRequestIndex(), result.getImageConfig().getAuthor());
        count++;
      }
    }
    assertEquals(2002, count);
    assertEquals(4, gateway.calls());
  }

  @Test
  void batchOfDeletesIsOneCallAndIsNeverRepeated() {
    gateway.deletes =
        (request, observer) -> {
          DeleteManifestResponse deleted =
              DeleteManifestResponse.newBuilder().setDigest(request.getRequests(0).getDigest()).build();
          observer.onNext(
              BatchDeleteManifestsResponse.newBuilder()
                  .addResults(BatchDeleteManifestsResult.newBuilder().setDeleted(deleted))
                  .build());
          observer.onError(Status.UNAVAILABLE.asRuntimeException());
        };
    BatchDeleteManifestsRequest request =
        BatchDeleteManifestsRequest.newBuilder()
            .addRequests(DeleteManifestRequest.newBuilder().setDigest("sha256:0"))
            .addRequests(DeleteManifestRequest.newBuilder().setDigest("sha256:1"))
            .build();
    try (Batch<BatchDeleteManifestsResult> batch = client.batchDelete(request)) {
      Iterator<BatchDeleteManifestsResult> results = batch.iterator();
      assertEquals("sha256:0", results.next().getDeleted().getDigest());
      assertCode(Status.Code.UNAVAILABLE, results);
      assertThrows(IllegalStateException.class, batch::iterator);
    }
    assertEquals(1, gateway.calls());
  }

  @Test
  void batchOfNothingIsNoCall() {
    try (Batch<BatchGetManifestsResult> batch = client.batchManifests(List.of())) {
      assertFalse(batch.iterator().hasNext());
    }
    assertEquals(0, gateway.calls());
  }

  @Test
  void errorEndsTheBatchAndWhatCameBeforeItStands() {
    gateway.batch =
        (request, observer) -> {
          if (gateway.calls() == 2) {
            observer.onError(Status.PERMISSION_DENIED.asRuntimeException());
          } else {
            answerAll(request, observer);
          }
        };
    try (Batch<BatchGetManifestsResult> batch = client.batchManifests(requests(2500))) {
      Iterator<BatchGetManifestsResult> results = batch.iterator();
      for (int count = 0; count < 1000; count++) {
        results.next();
      }
      for (int time = 0; time < 2; time++) {
        assertCode(Status.Code.PERMISSION_DENIED, results);
      }
    }
    assertEquals(2, gateway.calls());
  }

  @Test
  void batchIsRetriedWhileTheGatewayIsUnavailable() {
    gateway.batch =
        (request, observer) -> {
          if (gateway.calls() < 3) {
            observer.onError(Status.UNAVAILABLE.asRuntimeException());
          } else {
            answerAll(request, observer);
          }
        };
    try (Batch<BatchGetManifestsResult> batch = client.batchManifests(requests(2))) {
      batch.forEach(result -> assertTrue(result.hasManifest()));
    }
    assertEquals(3, gateway.calls());
  }

  @Test
  void closingEndsTheCall() throws InterruptedException {
    CountDownLatch ended = new CountDownLatch(1);
    gateway.batch =
        (request, observer) -> {
          observer.setOnCancelHandler(ended::countDown);
          observer.onNext(message(answer(request, 0)));
        };
    Batch<BatchGetManifestsResult> batch = client.batchManifests(requests(2));
    Iterator<BatchGetManifestsResult> results = batch.iterator();
    assertEquals(0, results.next().getRequestIndex());
    batch.close();
    assertTrue(ended.await(10, TimeUnit.SECONDS), "the call goes on");
    assertCode(Status.Code.CANCELLED, results);
  }

  @Test
  void batchWithoutDeadlineHasTheOneOfStreams() {
    gateway.batch = (request, observer) -> observer.onNext(message(answer(request, 0)));
    Duration soon = Duration.ofMillis(500);
    try (PortusClient hurried =
            PortusClient.connect(gateway.address(), Security.plaintext(), Timeouts.DEFAULT.withStream(soon));
        Batch<BatchGetManifestsResult> batch = hurried.batchManifests(requests(2))) {
      Iterator<BatchGetManifestsResult> results = batch.iterator();
      assertEquals(0, results.next().getRequestIndex());
      assertCode(Status.Code.DEADLINE_EXCEEDED, results);
    }
  }

  @Test
  void answerThatDoesNotFitTheBatchIsAnError() {
    Map.of(
            "request 2 comes twice", List.of(0, 2),
            "request -1 comes twice", List.of(-1),
            "request 0 comes twice", List.of(0, 0),
            "1 of 2 requests have no result", List.of(0),
            "2 of 2 requests have no result", List.<Integer>of())
        .forEach(
            (said, indexes) -> {
              gateway.batch =
                  (request, observer) -> {
                    for (int index : indexes) {
                      observer.onNext(
                          message(BatchGetManifestsResult.newBuilder().setRequestIndex(index).build()));
                    }
                    observer.onCompleted();
                  };
              try (Batch<BatchGetManifestsResult> batch = client.batchManifests(requests(2))) {
                var error = assertThrows(StatusRuntimeException.class, () -> batch.forEach(result -> {}));
                assertEquals(Status.Code.INTERNAL, error.getStatus().getCode(), error.toString());
                assertTrue(error.getMessage().contains(said), error.getMessage());
              }
            });
  }

  /** Requests for the tags tag-0, tag-1 and so on. */
  private static List<GetManifestRequest> requests(int count) {
    return IntStream.range(0, count)
        .mapToObj(index -> GetManifestRequest.newBuilder().setRepository("team/app").setTag("tag-" + index).build())
        .toList();
  }

  /** A manifest whose bytes are the tag of the request. */
  private static BatchGetManifestsResult answer(BatchGetManifestsRequest request, int index) {
    ByteString raw = ByteString.copyFromUtf8(request.getRequests(index).getTag());
    return BatchGetManifestsResult.newBuilder()
        .setRequestIndex(index)
        .setManifest(Manifest.newBuilder().setRaw(raw))
        .build();
  }

  private static void answerAll(
      BatchGetManifestsRequest request, ServerCallStreamObserver<BatchGetManifestsResponse> observer) {
    for (int index = 0; index < request.getRequestsCount(); index++) {
      observer.onNext(message(answer(request, index)));
    }
    observer.onCompleted();
  }

  private static BatchGetManifestsResponse message(BatchGetManifestsResult... results) {
    return BatchGetManifestsResponse.newBuilder().addAllResults(List.of(results)).build();
  }

  private static void assertCode(Status.Code code, Iterator<?> results) {
    StatusRuntimeException error = assertThrows(StatusRuntimeException.class, results::hasNext);
    assertEquals(code, error.getStatus().getCode(), error.toString());
  }
}

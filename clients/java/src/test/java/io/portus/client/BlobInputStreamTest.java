package io.portus.client;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ServerCallStreamObserver;
import io.portus.registry.v1.ReadBlobRequest;
import io.portus.registry.v1.ReadBlobResponse;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(30)
class BlobInputStreamTest {
  private static final byte[] CONTENT = "0123456789".repeat(1000).getBytes(StandardCharsets.US_ASCII);

  private final List<List<Long>> asked = new CopyOnWriteArrayList<>();
  private Gateway gateway;
  private PortusClient client;
  private ReadBlobRequest whole;

  @BeforeEach
  void start() throws IOException {
    gateway = new Gateway();
    client = PortusClient.connect(gateway.address(), Security.plaintext());
    whole = ReadBlobRequest.newBuilder().setDigest(digest("SHA-256", CONTENT)).build();
  }

  @AfterEach
  void stop() {
    client.close();
    gateway.close();
  }

  @Test
  void blobIsReadAndVerified() throws IOException {
    gateway.blob = this::send;
    for (String algorithm : List.of("SHA-256", "SHA-512")) {
      ReadBlobRequest request = whole.toBuilder().setDigest(digest(algorithm, CONTENT)).build();
      try (BlobInputStream blob = client.openBlob(request)) {
        assertEquals(OptionalLong.of(CONTENT.length), blob.size());
        assertEquals('0', blob.read());
        assertEquals(0, blob.read(new byte[0]));
        byte[] rest = blob.readAllBytes();
        assertArrayEquals(Arrays.copyOfRange(CONTENT, 1, CONTENT.length), rest);
        assertEquals(-1, blob.read());
      }
    }
  }

  @Test
  void wrongBytesAreDataLossInsteadOfTheEnd() throws IOException {
    gateway.blob = this::send;
    byte[] other = {1};
    try (BlobInputStream blob =
        client.openBlob(whole.toBuilder().setDigest(digest("SHA-256", other)).build())) {
      for (int time = 0; time < 2; time++) { // the error stays
        ErrorDetails details = ErrorDetails.of(assertThrows(IOException.class, blob::readAllBytes));
        assertEquals(Status.Code.DATA_LOSS, details.code());
        assertEquals("DIGEST_MISMATCH", details.reason());
      }
    }
  }

  @Test
  void brokenDownloadGoesOnWhereItWas() throws IOException {
    for (var expected :
        Map.of(
                List.of(3, 2), List.of(List.of(0L, 0L), List.of(3000L, 0L), List.of(5000L, 0L)),
                // Without any byte between.
                List.of(3, 0, 0),
                    List.of(List.of(0L, 0L), List.of(3000L, 0L), List.of(3000L, 0L), List.of(3000L, 0L)),
                // After the last byte.
                List.of(10), List.of(List.of(0L, 0L)))
            .entrySet()) {
      asked.clear();
      gateway.blob = (request, observer) -> send(request, observer, expected.getKey());
      try (BlobInputStream blob = client.openBlob(whole)) {
        assertArrayEquals(CONTENT, blob.readAllBytes());
      }
      assertEquals(expected.getValue(), asked);
    }
  }

  @Test
  void brokenDownloadOfAPartStaysWithinItsLimit() throws IOException {
    // The second break comes after the last byte of the part.
    gateway.blob = (request, observer) -> send(request, observer, List.of(1, 2));
    try (BlobInputStream blob = client.openBlob(whole.toBuilder().setOffset(10).setLimit(3000).build())) {
      assertArrayEquals(Arrays.copyOfRange(CONTENT, 10, 3010), blob.readAllBytes());
    }
    assertEquals(List.of(List.of(10L, 3000L), List.of(1010L, 2000L)), asked);
  }

  @Test
  void downloadThatBreaksWithoutProgressIsGivenUp() throws IOException {
    gateway.blob = (request, observer) -> send(request, observer, List.of(3, 0, 0, 0, 0, 0));
    try (BlobInputStream blob = client.openBlob(whole)) {
      IOException error = assertThrows(IOException.class, blob::readAllBytes);
      assertEquals(Status.Code.UNAVAILABLE, ErrorDetails.of(error).code());
    }
    assertEquals(4, asked.size());
  }

  @Test
  void downloadGoesOnAfterTheTimeoutOfItsCallWhileBytesCome() throws IOException {
    gateway.blob =
        (request, observer) -> {
          asked.add(List.of(request.getOffset()));
          int start = (int) request.getOffset();
          boolean last = asked.size() == 3;
          observer.onNext(chunk(start, last ? CONTENT.length : start + 1000));
          if (last) {
            observer.onCompleted();
          }
        };
    Timeouts soon = Timeouts.DEFAULT.withStream(Duration.ofMillis(300));
    try (PortusClient hurried = PortusClient.connect(gateway.address(), Security.plaintext(), soon);
        BlobInputStream blob = hurried.openBlob(whole)) {
      assertArrayEquals(CONTENT, blob.readAllBytes());
    }
    assertEquals(List.of(List.of(0L), List.of(1000L), List.of(2000L)), asked);
  }

  @Test
  void anotherErrorEndsTheDownload() throws IOException {
    gateway.blob =
        (request, observer) -> {
          observer.onNext(chunk(0, 10));
          observer.onError(Status.PERMISSION_DENIED.asRuntimeException());
        };
    try (BlobInputStream blob = client.openBlob(whole)) {
      IOException error = assertThrows(IOException.class, blob::readAllBytes);
      assertEquals(Status.Code.PERMISSION_DENIED, ErrorDetails.of(error).code());
    }
    assertEquals(1, gateway.calls());
  }

  @Test
  void missingBlobIsAnErrorOfOpening() {
    gateway.blob = (request, observer) -> observer.onError(Status.NOT_FOUND.asRuntimeException());
    var error = assertThrows(StatusRuntimeException.class, () -> client.openBlob(whole));
    assertEquals(Status.Code.NOT_FOUND, error.getStatus().getCode());
  }

  @Test
  void closingEndsTheCall() throws InterruptedException {
    CountDownLatch ended = new CountDownLatch(1);
    gateway.blob =
        (request, observer) -> {
          observer.setOnCancelHandler(ended::countDown);
          observer.onNext(chunk(0, 10));
        };
    BlobInputStream blob = client.openBlob(whole);
    blob.close();
    assertTrue(ended.await(10, TimeUnit.SECONDS), "the call goes on");
    assertThrows(IOException.class, blob::read);
    assertFalse(blob.available() > 0);
  }

  private void send(ReadBlobRequest request, ServerCallStreamObserver<ReadBlobResponse> observer) {
    send(request, observer, List.of());
  }

  /**
   * Sends the content in chunks of 1000 bytes. Call n ends with UNAVAILABLE after {@code breaks.get(n)} chunks. Notes the
   * offset and the limit of each call.
   */
  private void send(
      ReadBlobRequest request, ServerCallStreamObserver<ReadBlobResponse> observer, List<Integer> breaks) {
    int most = asked.size() < breaks.size() ? breaks.get(asked.size()) : Integer.MAX_VALUE;
    asked.add(List.of(request.getOffset(), request.getLimit()));
    observer.onNext(ReadBlobResponse.newBuilder().setSize(CONTENT.length).build());
    int start = (int) request.getOffset();
    int end = request.getLimit() > 0 ? start + (int) request.getLimit() : CONTENT.length;
    int chunks = 0;
    for (; start < end && chunks < most; start += 1000, chunks++) {
      observer.onNext(chunk(start, Math.min(start + 1000, end)));
    }
    if (chunks == most) {
      observer.onError(Status.UNAVAILABLE.asRuntimeException());
    } else {
      observer.onCompleted();
    }
  }

  private static ReadBlobResponse chunk(int start, int end) {
    return ReadBlobResponse.newBuilder().setChunk(ByteString.copyFrom(CONTENT, start, end - start)).build();
  }

  private static String digest(String algorithm, byte[] bytes) {
    try {
      String hash = HexFormat.of().formatHex(MessageDigest.getInstance(algorithm).digest(bytes));
      return algorithm.toLowerCase().replace("-", "") + ":" + hash;
    } catch (NoSuchAlgorithmException error) {
      throw new AssertionError(error);
    }
  }
}

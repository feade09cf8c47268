package io.portus.client;

import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.rpc.ErrorInfo;
import io.grpc.Context;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import io.portus.registry.v1.ReadBlobRequest;
import io.portus.registry.v1.ReadBlobResponse;
import io.portus.registry.v1.RegistryServiceGrpc.RegistryServiceBlockingStub;
import java.io.IOException;
import java.io.InputStream;
import java.io.InterruptedIOException;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.OptionalLong;

/**
 * Reads a blob. Close it. It is not safe for concurrent use. {@link PortusClient#openBlob} makes it.
 *
 * <p>Its end is reached only if the bytes have the digest. Otherwise {@code read} throws an {@link IOException} for which
 * {@link ErrorDetails} has the code DATA_LOSS, and what was read must be discarded. Other errors of the gateway are the
 * causes of an {@link IOException} too.
 */
public final class BlobInputStream extends InputStream {
  // How often a download is resumed without that a byte came.
  private static final int MOST_IDLE_RESUMES = 3;
  // Wait before the first of these. It doubles each time. The gateway can say another one.
  private static final Duration IDLE_RESUME_DELAY = Duration.ofMillis(200);

  private final RegistryServiceBlockingStub stub;
  private final Context.CancellableContext context = Context.current().withCancellation();
  private final ReadBlobRequest request;
  // null if only a part is read, or for a digest that the gateway refuses.
  private final MessageDigest hash;
  private Iterator<ReadBlobResponse> call;
  private long size = -1;
  private long received = 0;
  // Resumptions since the last byte, and whether this call has sent bytes.
  private int idle = 0;
  private boolean bytes = false;
  private ByteString chunk = ByteString.EMPTY;
  private int position = 0;
  private boolean ended = false;
  private IOException failure = null;

  BlobInputStream(RegistryServiceBlockingStub stub, ReadBlobRequest request) {
    this.stub = stub;
    this.request = request;
    this.hash = request.getOffset() == 0 && request.getLimit() == 0 ? hashOf(request.getDigest()) : null;
    try {
      open();
    } catch (StatusRuntimeException error) {
      context.cancel(null);
      throw error;
    }
  }

  /** Size of the whole blob in bytes, if the gateway knows it. */
  public OptionalLong size() {
    return size < 0 ? OptionalLong.empty() : OptionalLong.of(size);
  }

  @Override
  public int read() throws IOException {
    return fill() ? chunk.byteAt(position++) & 0xff : -1;
  }

  @Override
  public int read(byte[] buffer, int start, int length) throws IOException {
    if (length == 0) {
      return 0;
    }
    if (!fill()) {
      return -1;
    }
    int count = Math.min(length, chunk.size() - position);
    chunk.copyTo(buffer, position, start, count);
    position += count;
    return count;
  }

  @Override
  public int available() {
    return chunk.size() - position;
  }

  /** Ends the call. */
  @Override
  public void close() {
    context.cancel(null);
    chunk = ByteString.EMPTY;
    position = 0;
    if (!ended && failure == null) {
      failure = new IOException("the blob is closed");
    }
  }

  /** Begins a call and waits for its first message. */
  private void open() {
    long limit = request.getLimit() == 0 ? 0 : request.getLimit() - received;
    ReadBlobRequest rest = request.toBuilder().setOffset(request.getOffset() + received).setLimit(limit).build();
    context.run(() -> call = stub.readBlob(rest));
    bytes = false;
    if (!call.hasNext()) {
      throw Status.INTERNAL.withDescription("the gateway's response has no message").asRuntimeException();
    }
    take(call.next());
  }

  /** Waits until there are bytes. Returns false at the end. */
  private boolean fill() throws IOException {
    while (position == chunk.size()) {
      if (failure != null) {
        throw failure;
      }
      if (ended) {
        return false;
      }
      try {
        receive();
      } catch (StatusRuntimeException error) {
        failure = new IOException(ErrorDetails.of(error).toString(), error);
      }
    }
    return true;
  }

  /** Takes the next message, and resumes the download if it broke. */
  private void receive() throws IOException {
    StatusRuntimeException broken;
    try {
      if (call.hasNext()) {
        take(call.next());
      } else {
        verify();
      }
      return;
    } catch (StatusRuntimeException error) {
      broken = error;
    }
    while (true) {
      if (!resumable(broken)) {
        throw broken;
      }
      if (complete()) {
        verify();
        return;
      }
      pause(broken);
      idle++;
      try {
        open();
        return;
      } catch (StatusRuntimeException error) {
        broken = error;
      }
    }
  }

  private void take(ReadBlobResponse message) {
    if (message.hasSize()) {
      size = message.getSize();
    }
    chunk = message.getChunk();
    position = 0;
    if (chunk.isEmpty()) {
      return;
    }
    idle = 0;
    bytes = true;
    received += chunk.size();
    if (hash != null) {
      chunk.asReadOnlyByteBufferList().forEach(hash::update);
    }
  }

  /** Whether all bytes have come, so that only the end of the call is missing. */
  private boolean complete() {
    if (request.getLimit() > 0 && received >= request.getLimit()) {
      return true;
    }
    return size >= 0 && request.getOffset() + received >= size;
  }

  /** Whether the rest can be read by another call. */
  private boolean resumable(StatusRuntimeException error) {
    if (context.isCancelled()) {
      return false;
    }
    return switch (error.getStatus().getCode()) {
      case UNAVAILABLE -> idle < MOST_IDLE_RESUMES;
      // The deadline of this call.
      case DEADLINE_EXCEEDED -> bytes;
      default -> false;
    };
  }

  private void pause(StatusRuntimeException broken) throws InterruptedIOException {
    if (idle == 0) {
      return;
    }
    Duration delay = ErrorDetails.of(broken).retryDelay().orElse(IDLE_RESUME_DELAY.multipliedBy(1L << (idle - 1)));
    try {
      Thread.sleep(delay.toMillis());
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
      throw new InterruptedIOException("interrupted while the download waited to be resumed");
    }
  }

  private void verify() {
    ended = true;
    if (hash == null) {
      return;
    }
    String algorithm = request.getDigest().substring(0, request.getDigest().indexOf(':'));
    String got = algorithm + ":" + HexFormat.of().formatHex(hash.digest());
    if (!got.equals(request.getDigest())) {
      ended = false;
      throw StatusProto.toStatusRuntimeException(
          com.google.rpc.Status.newBuilder()
              .setCode(Status.Code.DATA_LOSS.value())
              .setMessage(
                  "the bytes of the blob have the digest %s, not %s: discard them".formatted(got, request.getDigest()))
              .addDetails(Any.pack(ErrorInfo.newBuilder().setReason("DIGEST_MISMATCH").build()))
              .build());
    }
  }

  private static MessageDigest hashOf(String digest) {
    String algorithm =
        digest.startsWith("sha256:") ? "SHA-256" : digest.startsWith("sha512:") ? "SHA-512" : null;
    try {
      return algorithm == null ? null : MessageDigest.getInstance(algorithm);
    } catch (NoSuchAlgorithmException error) {
      throw new AssertionError("every JVM has " + algorithm, error);
    }
  }
}

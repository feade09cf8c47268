package io.portus.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.PreconditionFailure;
import com.google.rpc.ResourceInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Status;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * The details of an error. An error of gRPC itself, such as an unreachable gateway, has only a code and a message; its
 * reason is empty.
 *
 * @param code the status code
 * @param message what went wrong, as a text for people
 * @param reason the registry's own code (MANIFEST_UNKNOWN) or one of the gateway's (TAGGED)
 * @param domain {@code portus-gateway} if there is a reason
 * @param metadata facts that belong to the reason
 * @param resourceType the type of the resource that the call was about
 * @param resourceName the name of that resource
 * @param tags the unexpected tags that refused a delete (TAGGED), at most the first 50; their number is in {@code
 *     metadata} under {@code tags}
 * @param indexTags the tags of indexes that contain the manifest and so refused a delete (REFERENCED, TAGGED)
 * @param fields the invalid fields of the request (INVALID_FIELD)
 * @param retryDelay how long to wait before the next try, if the gateway says it
 */
public record ErrorDetails(
    Status.Code code,
    String message,
    String reason,
    String domain,
    Map<String, String> metadata,
    String resourceType,
    String resourceName,
    List<String> tags,
    List<String> indexTags,
    List<FieldViolation> fields,
    Optional<Duration> retryDelay) {

  /** An invalid field of the request. */
  public record FieldViolation(String field, String description) {}

  // The messages of gRPC do not say that the address or TLS may be wrong.
  private static final String UNANSWERED_HINT =
      " (no answer from a gateway: check the address, and whether the gateway uses TLS)";

  /**
   * Reads the exception of a call, also if it is the cause of the given exception. Any other exception is UNKNOWN.
   */
  public static ErrorDetails of(Throwable error) {
    Status status = Status.fromThrowable(error);
    for (Throwable cause = status.getCause(); cause != null; cause = cause.getCause()) {
      // For an unreachable gateway, gRPC only says "io exception". The cause says that the connection was refused.
      if (cause.getCause() == null) {
        status = status.augmentDescription(cause.toString());
      }
    }
    return of(StatusProto.fromStatusAndTrailers(status, Status.trailersFromThrowable(error)));
  }

  /** Reads a status within a response, such as {@code Repository.tags_status}. */
  public static ErrorDetails of(com.google.rpc.Status status) {
    ErrorInfo info = find(status, ErrorInfo.class).orElse(ErrorInfo.getDefaultInstance());
    ResourceInfo resource = find(status, ResourceInfo.class).orElse(ResourceInfo.getDefaultInstance());
    return new ErrorDetails(
        Status.fromCodeValue(status.getCode()).getCode(),
        status.getMessage(),
        info.getReason(),
        info.getDomain(),
        info.getMetadataMap(),
        resource.getResourceType(),
        resource.getResourceName(),
        subjects(status, "TAGGED"),
        subjects(status, "REFERENCED"),
        find(status, BadRequest.class).stream()
            .flatMap(request -> request.getFieldViolationsList().stream())
            .map(violation -> new FieldViolation(violation.getField(), violation.getDescription()))
            .toList(),
        find(status, RetryInfo.class)
            .filter(RetryInfo::hasRetryDelay)
            .map(RetryInfo::getRetryDelay)
            .map(delay -> Duration.ofSeconds(delay.getSeconds(), delay.getNanos())));
  }

  private static List<String> subjects(com.google.rpc.Status status, String type) {
    return find(status, PreconditionFailure.class).stream()
        .flatMap(failure -> failure.getViolationsList().stream())
        .filter(violation -> violation.getType().equals(type))
        .map(PreconditionFailure.Violation::getSubject)
        .toList();
  }

  private static <M extends com.google.protobuf.Message> Optional<M> find(com.google.rpc.Status status, Class<M> type) {
    for (Any detail : status.getDetailsList()) {
      if (detail.is(type)) {
        try {
          return Optional.of(detail.unpack(type));
        } catch (InvalidProtocolBufferException error) {
          throw new IllegalArgumentException("the status has an invalid " + type.getSimpleName(), error);
        }
      }
    }
    return Optional.empty();
  }

  /** The code, the reason and the message. */
  @Override
  public String toString() {
    if (!reason.isEmpty()) {
      return code + ": " + reason + ": " + message;
    }
    return code + ": " + message + (code == Status.Code.UNAVAILABLE ? UNANSWERED_HINT : "");
  }
}

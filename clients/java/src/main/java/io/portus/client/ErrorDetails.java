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
 * What the gateway says of a failure. An error that gRPC itself made, such as an unreachable gateway, has a code
 * and a message alone: its reason is empty.
 *
 * @param code the status code
 * @param message for people
 * @param reason the registry's own code (MANIFEST_UNKNOWN) or one of the gateway's (TAGGED)
 * @param domain {@code portus-gateway} where there is a reason
 * @param metadata the facts that go with the reason
 * @param resourceType what kind of thing the call was about
 * @param resourceName the name of that thing
 * @param tags those for whose sake a delete was refused (TAGGED): the first 50; {@code metadata} has their number, {@code tags}
 * @param fields those of the request that are not valid (INVALID_FIELD)
 * @param retryDelay how long to wait before the next try, where something was said of it
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
    List<FieldViolation> fields,
    Optional<Duration> retryDelay) {

  /** What is wrong with a field of the request. */
  public record FieldViolation(String field, String description) {}

  // What gRPC says of a wrong address, or of TLS that meets plaintext, leads few people to the cause.
  private static final String UNANSWERED_HINT =
      " (no gateway answered: is the address right, and TLS or plaintext as the gateway expects?)";

  /**
   * Reads what a call threw, or what an exception that wraps it has as its cause. One that is none of gRPC's is
   * UNKNOWN.
   */
  public static ErrorDetails of(Throwable error) {
    Status status = Status.fromThrowable(error);
    for (Throwable cause = status.getCause(); cause != null; cause = cause.getCause()) {
      // An unreachable gateway is an "io exception" to gRPC: that the connection was refused, only the cause says.
      if (cause.getCause() == null) {
        status = status.augmentDescription(cause.toString());
      }
    }
    return of(StatusProto.fromStatusAndTrailers(status, Status.trailersFromThrowable(error)));
  }

  /** Reads a status inside an answer, such as {@code Repository.tags_status}. */
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
        find(status, PreconditionFailure.class).stream()
            .flatMap(failure -> failure.getViolationsList().stream())
            .filter(violation -> violation.getType().equals("TAGGED"))
            .map(PreconditionFailure.Violation::getSubject)
            .toList(),
        find(status, BadRequest.class).stream()
            .flatMap(request -> request.getFieldViolationsList().stream())
            .map(violation -> new FieldViolation(violation.getField(), violation.getDescription()))
            .toList(),
        find(status, RetryInfo.class)
            .filter(RetryInfo::hasRetryDelay)
            .map(RetryInfo::getRetryDelay)
            .map(delay -> Duration.ofSeconds(delay.getSeconds(), delay.getNanos())));
  }

  private static <M extends com.google.protobuf.Message> Optional<M> find(com.google.rpc.Status status, Class<M> type) {
    for (Any detail : status.getDetailsList()) {
      if (detail.is(type)) {
        try {
          return Optional.of(detail.unpack(type));
        } catch (InvalidProtocolBufferException error) {
          throw new IllegalArgumentException("the status has a broken " + type.getSimpleName(), error);
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

package io.portus.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Any;
import com.google.protobuf.Message;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.PreconditionFailure;
import com.google.rpc.ResourceInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.io.IOException;
import java.net.ConnectException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import org.junit.jupiter.api.Test;

class ErrorDetailsTest {
  @Test
  void refusalNamesItsReasonItsResourceAndTheTags() {
    StatusRuntimeException refusal =
        failure(
            Status.Code.FAILED_PRECONDITION,
            ErrorInfo.newBuilder().setReason("TAGGED").setDomain("portus-gateway").putMetadata("tags", "2").build(),
            ResourceInfo.newBuilder().setResourceType("manifest").setResourceName("team/app").build(),
            PreconditionFailure.newBuilder()
                .addViolations(violation("TAGGED", "1.0"))
                .addViolations(violation("OTHER", "x"))
                .addViolations(violation("TAGGED", "latest"))
                .addViolations(violation("REFERENCED", "multi"))
                .build());
    ErrorDetails details = ErrorDetails.of(new ExecutionException(refusal));
    assertEquals(
        new ErrorDetails(
            Status.Code.FAILED_PRECONDITION,
            "no",
            "TAGGED",
            "portus-gateway",
            Map.of("tags", "2"),
            "manifest",
            "team/app",
            List.of("1.0", "latest"),
            List.of("multi"),
            List.of(),
            Optional.empty()),
        details);
    assertEquals("FAILED_PRECONDITION: TAGGED: no", details.toString());
  }

  @Test
  void fieldsAndTheRetryDelayAreRead() {
    ErrorDetails details =
        ErrorDetails.of(
            failure(
                Status.Code.INVALID_ARGUMENT,
                BadRequest.newBuilder()
                    .addFieldViolations(
                        BadRequest.FieldViolation.newBuilder().setField("repository").setDescription("is empty"))
                    .build(),
                RetryInfo.newBuilder()
                    .setRetryDelay(com.google.protobuf.Duration.newBuilder().setSeconds(1).setNanos(500_000_000))
                    .build()));
    assertEquals(List.of(new ErrorDetails.FieldViolation("repository", "is empty")), details.fields());
    assertEquals(Optional.of(Duration.ofMillis(1500)), details.retryDelay());
  }

  @Test
  void unknownDetailIsLeftOut() {
    com.google.rpc.Status status =
        com.google.rpc.Status.newBuilder()
            .setCode(Status.Code.NOT_FOUND.value())
            .addDetails(Any.newBuilder().setTypeUrl("type.googleapis.com/from.the.Future"))
            .addDetails(Any.pack(ErrorInfo.newBuilder().setReason("MANIFEST_UNKNOWN").build()))
            .build();
    assertEquals("MANIFEST_UNKNOWN", ErrorDetails.of(status).reason());
  }

  @Test
  void errorOfGrpcItselfHasCodeAndMessageAlone() {
    ErrorDetails details = ErrorDetails.of(Status.NOT_FOUND.withDescription("no such method").asException());
    assertEquals("NOT_FOUND: no such method", details.toString());
    assertEquals(Optional.empty(), details.retryDelay());
  }

  @Test
  void unreachableGatewayIsSaidWithItsCauseAndWhatToLookAt() {
    Throwable cause = new IOException("io exception", new ConnectException("Connection refused"));
    String text = ErrorDetails.of(Status.UNAVAILABLE.withCause(cause).asRuntimeException()).toString();
    assertTrue(text.contains("Connection refused"), text);
    assertTrue(text.contains("whether the gateway uses TLS"), text);
  }

  private static PreconditionFailure.Violation violation(String type, String subject) {
    return PreconditionFailure.Violation.newBuilder().setType(type).setSubject(subject).build();
  }

  private static StatusRuntimeException failure(Status.Code code, Message... details) {
    com.google.rpc.Status.Builder status =
        com.google.rpc.Status.newBuilder().setCode(code.value()).setMessage("no");
    for (Message detail : details) {
      status.addDetails(Any.pack(detail));
    }
    return StatusProto.toStatusRuntimeException(status.build());
  }
}

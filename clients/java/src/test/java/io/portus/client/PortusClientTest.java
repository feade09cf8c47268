package io.portus.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.portus.registry.v1.BatchDeleteManifestsRequest;
import io.portus.registry.v1.BatchDeleteManifestsResult;
import io.portus.registry.v1.CatalogRequest;
import io.portus.registry.v1.CatalogResponse;
import io.portus.registry.v1.DeleteManifestRequest;
import io.portus.registry.v1.DeleteManifestResponse;
import io.portus.registry.v1.DeleteTagRequest;
import io.portus.registry.v1.DeleteTagResponse;
import io.portus.registry.v1.Event;
import io.portus.registry.v1.FindTagsRequest;
import io.portus.registry.v1.FindTagsResponse;
import io.portus.registry.v1.FoundTag;
import io.portus.registry.v1.GetManifestRequest;
import io.portus.registry.v1.GetManifestResponse;
import io.portus.registry.v1.ListReferrersRequest;
import io.portus.registry.v1.ListReferrersResponse;
import io.portus.registry.v1.ListTagHistoryRequest;
import io.portus.registry.v1.ListTagHistoryResponse;
import io.portus.registry.v1.ListTagsRequest;
import io.portus.registry.v1.ListTagsResponse;
import io.portus.registry.v1.Manifest;
import io.portus.registry.v1.Referrer;
import io.portus.registry.v1.Repository;
import io.portus.registry.v1.StreamCatalogRequest;
import io.portus.registry.v1.TagDetails;
import io.portus.registry.v1.WatchEventsRequest;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.function.Executable;

@Timeout(30)
class PortusClientTest {
  private static final GetManifestRequest ANY = GetManifestRequest.getDefaultInstance();

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
  void readIsRetriedWhileTheGatewayIsUnavailable() {
    gateway.manifest =
        request -> {
          if (gateway.calls() < 3) {
            throw Status.UNAVAILABLE.asRuntimeException();
          }
          return GetManifestResponse.getDefaultInstance();
        };
    client.blocking().getManifest(ANY);
    assertEquals(3, gateway.calls());
  }

  @Test
  void deleteIsNeverRetried() {
    gateway.deletion =
        request -> {
          throw Status.UNAVAILABLE.asRuntimeException();
        };
    assertCode(
        Status.Code.UNAVAILABLE, () -> client.blocking().deleteManifest(DeleteManifestRequest.getDefaultInstance()));
    assertEquals(1, gateway.calls());
  }

  @Test
  void callWithoutDeadlineHasTheClients() {
    gateway.manifest = request -> null;
    Duration soon = Duration.ofMillis(200);
    try (PortusClient hurried =
        PortusClient.connect(gateway.address(), Security.plaintext(), Timeouts.DEFAULT.withCall(soon))) {
      assertCode(Status.Code.DEADLINE_EXCEEDED, () -> hurried.blocking().getManifest(ANY));
    }
  }

  @Test
  void deleteHasTwoMinutesUnlessSet() {
    gateway.deletion = request -> DeleteManifestResponse.getDefaultInstance();
    gateway.tagDeletion = request -> DeleteTagResponse.getDefaultInstance();
    DeleteManifestRequest any = DeleteManifestRequest.getDefaultInstance();
    Duration soon = Duration.ofSeconds(1);
    for (var expected :
        Map.of(
                Timeouts.DEFAULT, 120L,
                Timeouts.DEFAULT.withCall(soon).withStream(soon), 120L,
                Timeouts.DEFAULT.withDelete(Duration.ofSeconds(300)), 300L)
            .entrySet()) {
      try (PortusClient own = PortusClient.connect(gateway.address(), Security.plaintext(), expected.getKey())) {
        List<Runnable> deletes =
            List.of(
                () -> own.blocking().deleteManifest(any),
                () -> own.blocking().deleteTag(DeleteTagRequest.getDefaultInstance()));
        for (Runnable delete : deletes) {
          delete.run();
          long left = gateway.lastDeadline.timeRemaining(TimeUnit.SECONDS);
          assertTrue(left > expected.getValue() - 10 && left <= expected.getValue(), left + " s");
        }
      }
    }
  }

  @Test
  void batchOfDeletesHasTheLongerTimeout() {
    gateway.deletes = (request, observer) -> observer.onError(Status.NOT_FOUND.asRuntimeException());
    BatchDeleteManifestsRequest one =
        BatchDeleteManifestsRequest.newBuilder().addRequests(DeleteManifestRequest.getDefaultInstance()).build();
    for (var expected :
        Map.of(
                Timeouts.DEFAULT, 600L,
                Timeouts.DEFAULT.withStream(Duration.ofSeconds(1)), 120L,
                Timeouts.DEFAULT.withDelete(Duration.ofHours(1)), 3600L)
            .entrySet()) {
      try (PortusClient own = PortusClient.connect(gateway.address(), Security.plaintext(), expected.getKey());
          Batch<BatchDeleteManifestsResult> batch = own.batchDelete(one)) {
        assertCode(Status.Code.NOT_FOUND, () -> batch.iterator().hasNext());
      }
      long left = gateway.lastDeadline.timeRemaining(TimeUnit.SECONDS);
      assertTrue(left > expected.getValue() - 10 && left <= expected.getValue(), left + " s");
    }
  }

  @Test
  void userAgentNamesTheClientAndItsVersion() {
    gateway.manifest = request -> GetManifestResponse.getDefaultInstance();
    client.blocking().getManifest(ANY);
    assertTrue(gateway.lastUserAgent.startsWith("portus-client-java/" + Version.VERSION + " "), gateway.lastUserAgent);
  }

  @Test
  void streamWithoutDeadlineHasTheClients() {
    Duration soon = Duration.ofMillis(500);
    try (PortusClient hurried =
        PortusClient.connect(gateway.address(), Security.plaintext(), Timeouts.DEFAULT.withStream(soon))) {
      var stream = hurried.blocking().streamCatalog(StreamCatalogRequest.getDefaultInstance());
      assertTrue(stream.hasNext());
      assertEquals("team/web", stream.next().getRepositories(1).getName());
      assertCode(Status.Code.DEADLINE_EXCEEDED, stream::hasNext);
    }
  }

  @Test
  void watchHasNoDeadlineUnlessSet() {
    WatchEventsRequest all = WatchEventsRequest.getDefaultInstance();
    assertFalse(client.blocking().watchEvents(all).hasNext());
    assertNull(gateway.lastDeadline);
    assertFalse(client.blocking().withDeadlineAfter(20, TimeUnit.SECONDS).watchEvents(all).hasNext());
    assertNotNull(gateway.lastDeadline);
  }

  @Test
  void deadlineOfTheCallComesFirst() {
    gateway.manifest = request -> null;
    assertCode(
        Status.Code.DEADLINE_EXCEEDED,
        () -> client.blocking().withDeadlineAfter(200, TimeUnit.MILLISECONDS).getManifest(ANY));
  }

  @Test
  void answerAboveFourMebibytesIsTaken() {
    Manifest manifest = Manifest.newBuilder().setRaw(ByteString.copyFrom(new byte[5 << 20])).build();
    gateway.manifest = request -> GetManifestResponse.newBuilder().setManifest(manifest).build();
    assertEquals(5 << 20, client.blocking().getManifest(ANY).getManifest().getRaw().size());
  }

  @Test
  void iterationGoesOnOverShortAndEmptyPages() {
    Map<String, ListTagsResponse> pages =
        Map.of(
            "", ListTagsResponse.newBuilder().addTags("a").addTags("b").setNextPageToken("2").build(),
            "2", ListTagsResponse.newBuilder().setNextPageToken("3").build(),
            "3", ListTagsResponse.newBuilder().addTags("c").build());
    gateway.tags =
        request -> {
          assertEquals("team/app", request.getRepository());
          return pages.get(request.getPageToken());
        };
    Iterable<String> tags = client.tags(ListTagsRequest.newBuilder().setRepository("team/app").build());
    for (int time = 0; time < 2; time++) { // an Iterable can be used again
      List<String> listed = new ArrayList<>();
      tags.forEach(listed::add);
      assertEquals(List.of("a", "b", "c"), listed);
    }
  }

  @Test
  void detailsOfTagsAreFullUnlessSet() {
    for (ListTagsRequest.View view : List.of(ListTagsRequest.View.NAMES, ListTagsRequest.View.DESCRIPTORS)) {
      ListTagsRequest.View wanted =
          view == ListTagsRequest.View.NAMES ? ListTagsRequest.View.FULL : ListTagsRequest.View.DESCRIPTORS;
      gateway.tags =
          request -> {
            assertEquals(wanted, request.getView());
            assertEquals("created desc", request.getOrderBy());
            boolean last = request.getPageToken().equals("2");
            return ListTagsResponse.newBuilder()
                .addDetails(TagDetails.newBuilder().setTag(last ? "old" : "new"))
                .setNextPageToken(last ? "" : "2")
                .build();
          };
      List<String> listed = new ArrayList<>();
      ListTagsRequest request = ListTagsRequest.newBuilder().setView(view).setOrderBy("created desc").build();
      client.tagDetails(request).forEach(details -> listed.add(details.getTag()));
      assertEquals(List.of("new", "old"), listed);
    }
  }

  @Test
  void referrersComeFromAllPages() {
    gateway.referrers =
        request -> {
          assertEquals("application/spdx+json", request.getArtifactType());
          boolean last = request.getPageToken().equals("2");
          return ListReferrersResponse.newBuilder()
              .addReferrers(Referrer.newBuilder().setTag(last ? "b" : "a"))
              .setNextPageToken(last ? "" : "2")
              .build();
        };
    List<String> listed = new ArrayList<>();
    client
        .referrers(ListReferrersRequest.newBuilder().setArtifactType("application/spdx+json").build())
        .forEach(referrer -> listed.add(referrer.getTag()));
    assertEquals(List.of("a", "b"), listed);
  }

  @Test
  void historyAndFoundTagsComeFromAllPages() {
    gateway.history =
        request -> {
          boolean last = request.getPageToken().equals("2");
          return ListTagHistoryResponse.newBuilder()
              .addEvents(Event.newBuilder().setTag(request.getTag()).setDigest(last ? "a" : "b"))
              .setNextPageToken(last ? "" : "2")
              .build();
        };
    gateway.found =
        request -> {
          boolean last = request.getPageToken().equals("2");
          return FindTagsResponse.newBuilder()
              .addTags(FoundTag.newBuilder().setTag((last ? "2-" : "1-") + request.getNameContains()))
              .setNextPageToken(last ? "" : "2")
              .build();
        };
    List<String> listed = new ArrayList<>();
    client
        .tagHistory(ListTagHistoryRequest.newBuilder().setTag("latest").build())
        .forEach(event -> listed.add(event.getTag() + " " + event.getDigest()));
    client
        .foundTags(FindTagsRequest.newBuilder().setNameContains("rc").build())
        .forEach(found -> listed.add(found.getTag()));
    assertEquals(List.of("latest b", "latest a", "1-rc", "2-rc"), listed);
  }

  @Test
  void iterationFetchesNoPageAheadAndAnErrorEndsIt() {
    gateway.catalog =
        request -> {
          if (!request.getPageToken().isEmpty()) {
            throw Status.DATA_LOSS.asRuntimeException();
          }
          Repository one = Repository.newBuilder().setName("one").build();
          return CatalogResponse.newBuilder().addRepositories(one).setNextPageToken("2").build();
        };
    Iterable<Repository> repositories = client.repositories(CatalogRequest.getDefaultInstance());
    assertEquals(0, gateway.calls());
    Iterator<Repository> iterator = repositories.iterator();
    assertEquals("one", iterator.next().getName());
    assertEquals(1, gateway.calls());
    assertCode(Status.Code.DATA_LOSS, iterator::next);
  }

  @Test
  void pageTokenThatIsRepeatedEndsTheIteration() {
    // The token of each page and of the next one.
    for (Map<String, String> pages : List.of(Map.of("1", "1"), Map.of("1", "2", "2", "3", "3", "2"))) {
      int before = gateway.calls();
      gateway.tags =
          request -> {
            // An endless iteration would make the test hang.
            String next = gateway.calls() - before > 10 ? "" : pages.get(request.getPageToken());
            List<String> tags = request.getPageToken().equals("1") ? List.of("a") : List.of();
            return ListTagsResponse.newBuilder().addAllTags(tags).setNextPageToken(next).build();
          };
      Iterator<String> tags = client.tags(ListTagsRequest.newBuilder().setPageToken("1").build()).iterator();
      assertEquals("a", tags.next());
      for (int time = 0; time < 2; time++) {
        StatusRuntimeException error = assertThrows(StatusRuntimeException.class, tags::hasNext);
        assertEquals(Status.Code.INTERNAL, error.getStatus().getCode());
        assertTrue(error.getMessage().contains("repeats a page token"), error.getMessage());
      }
      assertEquals(pages.size(), gateway.calls() - before);
    }
  }

  @Test
  void addressIsNoUrl() {
    for (String scheme : List.of("http://", "https://")) {
      IllegalArgumentException error =
          assertThrows(
              IllegalArgumentException.class,
              () -> PortusClient.connect(scheme + "localhost:50051", Security.plaintext()));
      assertTrue(error.getMessage().endsWith("write host:port, without " + scheme), error.getMessage());
    }
  }

  @Test
  void serviceConfigRetriesNoDelete() {
    String config = PortusClient.serviceConfig().toString();
    assertTrue(config.contains("GetManifest"), config);
    assertTrue(config.contains("round_robin"), config);
    assertFalse(config.contains("Delete"), config);
  }

  private static void assertCode(Status.Code code, Executable call) {
    StatusRuntimeException error = assertThrows(StatusRuntimeException.class, call);
    assertEquals(code, error.getStatus().getCode(), error.toString());
  }
}

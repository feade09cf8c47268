package io.portus.client;

import io.grpc.Status;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Set;
import java.util.function.Function;

/** Iterates over the items of all pages. An empty page is not always the last one: the last page has no token. */
final class Pages<P, T> implements Iterator<T> {
  private final Function<String, P> fetch;
  private final Function<P, List<T>> items;
  private final Function<P, String> nextToken;
  private final Set<String> tokens = new HashSet<>();
  private String token;
  private boolean repeated = false;
  private Iterator<T> page = List.<T>of().iterator();
  private boolean last = false;

  Pages(String token, Function<String, P> fetch, Function<P, List<T>> items, Function<P, String> nextToken) {
    this.token = token;
    this.tokens.add(token);
    this.fetch = fetch;
    this.items = items;
    this.nextToken = nextToken;
  }

  @Override
  public boolean hasNext() {
    while (!page.hasNext() && !last) {
      if (repeated) {
        throw Status.INTERNAL
            .withDescription("the gateway repeats a page token, so the listing has no end")
            .asRuntimeException();
      }
      P fetched = fetch.apply(token);
      page = items.apply(fetched).iterator();
      token = nextToken.apply(fetched);
      last = token.isEmpty();
      repeated = !last && !tokens.add(token);
    }
    return page.hasNext();
  }

  @Override
  public T next() {
    if (!hasNext()) {
      throw new NoSuchElementException();
    }
    return page.next();
  }
}

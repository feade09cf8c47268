package portus_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/portus-gateway/portus-gateway/clients/go/portus"
	registryv1 "github.com/portus-gateway/portus-gateway/clients/go/portus/registry/v1"
)

var (
	content = []byte(strings.Repeat("0123456789", 1000))
	digest  = fmt.Sprintf("sha256:%x", sha256.Sum256(content))
)

// sending serves content in chunks of 1000 bytes. Each call ends after breaks[n] chunks with UNAVAILABLE; -1 never ends
// so. It notes the offset and the limit of each call.
func sending(asked *[][2]int64, breaks ...int) *gateway {
	return &gateway{blob: func(request *registryv1.ReadBlobRequest, stream blobStream) error {
		call := len(*asked)
		*asked = append(*asked, [2]int64{request.GetOffset(), request.GetLimit()})
		size := int64(len(content))
		if err := stream.Send(&registryv1.ReadBlobResponse{Size: &size}); err != nil {
			return err
		}
		rest := content[request.GetOffset():]
		if limit := int(request.GetLimit()); limit > 0 && limit < len(rest) {
			rest = rest[:limit]
		}
		chunks := 0
		for chunk := range slices.Chunk(rest, 1000) {
			if call < len(breaks) && chunks == breaks[call] {
				return status.Error(codes.Unavailable, "the gateway stops")
			}
			if err := stream.Send(&registryv1.ReadBlobResponse{Chunk: chunk}); err != nil {
				return err
			}
			chunks++
		}
		if call < len(breaks) && chunks == breaks[call] {
			return status.Error(codes.Unavailable, "the gateway stops")
		}
		return nil
	}}
}

func open(t *testing.T, g *gateway, request *registryv1.ReadBlobRequest, options ...portus.Option) *portus.BlobReader {
	t.Helper()
	client := dial(t, g.start(t), portus.Plaintext(), options...)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	reader, err := client.OpenBlob(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reader.Close() })
	return reader
}

func TestBlobIsReadAndVerified(t *testing.T) {
	for _, digest := range []string{digest, fmt.Sprintf("sha512:%x", sha512.Sum512(content))} {
		var asked [][2]int64
		reader := open(t, sending(&asked), &registryv1.ReadBlobRequest{Digest: digest})
		if size := reader.Size(); size != int64(len(content)) {
			t.Errorf("got the size %d", size)
		}
		got, err := io.ReadAll(reader)
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("got %d bytes and %v", len(got), err)
		}
		if _, err := reader.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("after the end: %v, want EOF", err)
		}
	}
}

func TestWrongBytesAreDataLossInsteadOfTheEnd(t *testing.T) {
	var asked [][2]int64
	other := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("other")))
	reader := open(t, sending(&asked), &registryv1.ReadBlobRequest{Digest: other})
	for range 2 { // the error stays
		got, err := io.ReadAll(reader)
		var failure *portus.Error
		if !errors.As(err, &failure) || failure.Code != codes.DataLoss || failure.Reason != "DIGEST_MISMATCH" {
			t.Errorf("got %d bytes and %v, want DATA_LOSS", len(got), err)
		}
	}
}

func TestBrokenDownloadGoesOnWhereItWas(t *testing.T) {
	for name, test := range map[string]struct {
		breaks  []int
		offsets [][2]int64
	}{
		"twice":                    {[]int{3, 2}, [][2]int64{{0, 0}, {3000, 0}, {5000, 0}}},
		"without any byte between": {[]int{3, 0, 0}, [][2]int64{{0, 0}, {3000, 0}, {3000, 0}, {3000, 0}}},
		"after the last byte":      {[]int{10}, [][2]int64{{0, 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			var asked [][2]int64
			reader := open(t, sending(&asked, test.breaks...), &registryv1.ReadBlobRequest{Digest: digest})
			got, err := io.ReadAll(reader)
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("got %d bytes and %v", len(got), err)
			}
			if !slices.Equal(asked, test.offsets) {
				t.Errorf("asked for %v, want %v", asked, test.offsets)
			}
		})
	}
}

func TestBrokenDownloadOfAPartStaysWithinItsLimit(t *testing.T) {
	var asked [][2]int64
	reader := open(t, sending(&asked, 1, 2), &registryv1.ReadBlobRequest{Digest: digest, Offset: 10, Limit: 3000})
	got, err := io.ReadAll(reader)
	if err != nil || !bytes.Equal(got, content[10:3010]) {
		t.Errorf("got %d bytes and %v", len(got), err)
	}
	// The second break comes after the last byte of the part.
	if want := [][2]int64{{10, 3000}, {1010, 2000}}; !slices.Equal(asked, want) {
		t.Errorf("asked for %v, want %v", asked, want)
	}
}

func TestDownloadThatBreaksWithoutProgressIsGivenUp(t *testing.T) {
	var asked [][2]int64
	reader := open(t, sending(&asked, 3, 0, 0, 0, 0, 0), &registryv1.ReadBlobRequest{Digest: digest})
	got, err := io.ReadAll(reader)
	if status.Code(err) != codes.Unavailable || len(got) != 3000 || len(asked) != 4 {
		t.Errorf("got %d bytes, %v and %d calls, want 3000, UNAVAILABLE and 4", len(got), err, len(asked))
	}
}

func TestDownloadGoesOnAfterTheTimeoutOfItsCallWhileBytesCome(t *testing.T) {
	calls := 0
	g := &gateway{blob: func(request *registryv1.ReadBlobRequest, stream blobStream) error {
		calls++
		if request.GetOffset() > 0 && calls > 2 {
			return stream.Send(&registryv1.ReadBlobResponse{Chunk: content[request.GetOffset():]})
		}
		if err := stream.Send(&registryv1.ReadBlobResponse{Chunk: content[request.GetOffset() : request.GetOffset()+1000]}); err != nil {
			return err
		}
		<-stream.Context().Done()
		return stream.Context().Err()
	}}
	// The context has no deadline, so each call has the client's.
	client := dial(t, g.start(t), portus.Plaintext(), portus.WithStreamTimeout(300*time.Millisecond))
	reader, err := client.OpenBlob(context.Background(), &registryv1.ReadBlobRequest{Digest: digest})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	got, err := io.ReadAll(reader)
	if err != nil || !bytes.Equal(got, content) || calls != 3 {
		t.Errorf("got %d bytes, %v and %d calls, want all and 3", len(got), err, calls)
	}
}

func TestOtherErrorsEndTheDownload(t *testing.T) {
	g := &gateway{blob: func(_ *registryv1.ReadBlobRequest, stream blobStream) error {
		if err := stream.Send(&registryv1.ReadBlobResponse{Chunk: content[:10]}); err != nil {
			return err
		}
		return status.Error(codes.PermissionDenied, "no more")
	}}
	got, err := io.ReadAll(open(t, g, &registryv1.ReadBlobRequest{Digest: digest}))
	if status.Code(err) != codes.PermissionDenied || len(got) != 10 || g.calls.Load() != 1 {
		t.Errorf("got %d bytes, %v and %d calls", len(got), err, g.calls.Load())
	}
}

func TestMissingBlobIsAnErrorOfOpen(t *testing.T) {
	g := &gateway{blob: func(*registryv1.ReadBlobRequest, blobStream) error {
		return status.Error(codes.NotFound, "there is no such blob")
	}}
	client := dial(t, g.start(t), portus.Plaintext())
	_, err := client.OpenBlob(context.Background(), &registryv1.ReadBlobRequest{Digest: digest})
	if status.Code(err) != codes.NotFound {
		t.Errorf("got %v, want NOT_FOUND", err)
	}
}

func TestClosingEndsTheCall(t *testing.T) {
	ended := make(chan struct{})
	g := &gateway{blob: func(_ *registryv1.ReadBlobRequest, stream blobStream) error {
		defer close(ended)
		if err := stream.Send(&registryv1.ReadBlobResponse{Chunk: content[:10]}); err != nil {
			return err
		}
		<-stream.Context().Done()
		return stream.Context().Err()
	}}
	reader := open(t, g, &registryv1.ReadBlobRequest{Digest: digest})
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("got %v, want an error", err)
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the call goes on")
	}
}

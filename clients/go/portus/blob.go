package portus

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	registryv1 "github.com/portus-gateway/portus-gateway/clients/go/portus/registry/v1"
)

const (
	// How often a download is resumed without that a byte came.
	maxIdleResumes = 3
	// Wait before the first of these. It doubles each time. The gateway can say another one.
	idleResumeDelay = 200 * time.Millisecond
)

// BlobReader reads a blob. It is an io.ReadCloser. Close it. It is not safe for concurrent use.
type BlobReader struct {
	ctx    context.Context
	cancel context.CancelFunc
	client *Client
	// The request of the next call, if this one breaks.
	rest    *registryv1.ReadBlobRequest
	limited bool
	stream  grpc.ServerStreamingClient[registryv1.ReadBlobResponse]
	// Size of the whole blob. -1 if the gateway does not say.
	size int64
	// Hash of the bytes so far. nil if only a part is read.
	hash  hash.Hash
	chunk []byte
	// Resumptions since the last byte, and whether this call has sent bytes.
	idle  int
	bytes bool
	err   error
}

// OpenBlob begins to read a blob: a layer, a configuration, an SBOM. Its reader returns io.EOF only if the bytes have the
// digest; otherwise it returns an *Error with the code DataLoss, and what was read must be discarded.
//
// If the connection breaks, or the gateway stops, the reader goes on where it was, as long as bytes come. With Offset or
// Limit, only this part is read. Its digest cannot be verified.
//
// The deadline of ctx is for the whole reader, and its end closes it. Without one, each call has the client's stream
// timeout, and the reader goes on after it if bytes have come.
func (c *Client) OpenBlob(ctx context.Context, request *registryv1.ReadBlobRequest) (*BlobReader, error) {
	reader := &BlobReader{client: c, rest: proto.CloneOf(request), limited: request.GetLimit() > 0, size: -1}
	if request.GetOffset() == 0 && request.GetLimit() == 0 {
		reader.hash = hashOf(request.GetDigest())
	}
	reader.ctx, reader.cancel = context.WithCancel(ctx)
	if err := reader.open(); err != nil {
		reader.cancel()
		return nil, err
	}
	return reader, nil
}

// Size is the size of the whole blob in bytes. It is -1 if the gateway does not know it.
func (r *BlobReader) Size() int64 { return r.size }

// Read implements io.Reader.
func (r *BlobReader) Read(buffer []byte) (int, error) {
	for len(r.chunk) == 0 && r.err == nil {
		r.err = r.receive()
	}
	if len(r.chunk) == 0 {
		return 0, r.err
	}
	count := copy(buffer, r.chunk)
	r.chunk = r.chunk[count:]
	return count, nil
}

// Close ends the call. It never fails.
func (r *BlobReader) Close() error {
	r.cancel()
	if r.err == nil {
		r.err = errors.New("portus: the blob is closed")
	}
	r.chunk = nil
	return nil
}

// open begins a call and waits for its first message.
func (r *BlobReader) open() error {
	stream, err := r.client.ReadBlob(r.ctx, r.rest)
	if err != nil {
		return err
	}
	first, err := stream.Recv()
	if errors.Is(err, io.EOF) {
		return &Error{Code: codes.Internal, Message: "the gateway's response has no message"}
	}
	if err != nil {
		return err
	}
	r.stream = stream
	r.bytes = false
	if first.Size != nil {
		r.size = first.GetSize()
	}
	r.take(first.GetChunk())
	return nil
}

// receive waits for the next chunk, and resumes the download if it broke. It returns io.EOF after the last byte.
func (r *BlobReader) receive() error {
	response, err := r.stream.Recv()
	switch {
	case err == nil:
		r.take(response.GetChunk())
		return nil
	case errors.Is(err, io.EOF):
		return r.verify()
	}
	for {
		if !r.resumable(err) {
			return err
		}
		if r.complete() {
			return r.verify()
		}
		if err := r.wait(err); err != nil {
			return err
		}
		r.idle++
		if err = r.open(); err == nil {
			return nil
		}
	}
}

func (r *BlobReader) take(chunk []byte) {
	if len(chunk) == 0 {
		return
	}
	r.idle, r.bytes = 0, true
	r.chunk = chunk
	if r.hash != nil {
		r.hash.Write(chunk)
	}
	r.rest.Offset += int64(len(chunk))
	if r.limited {
		r.rest.Limit -= int64(len(chunk))
	}
}

// complete says whether all bytes have come, so that only the end of the call is missing.
func (r *BlobReader) complete() bool {
	if r.limited && r.rest.Limit <= 0 {
		return true
	}
	return r.size >= 0 && r.rest.Offset >= r.size
}

// resumable says whether the rest can be read by another call.
func (r *BlobReader) resumable(err error) bool {
	failure, ok := FromError(err)
	if !ok || r.ctx.Err() != nil {
		return false
	}
	switch failure.Code {
	case codes.Unavailable:
		return r.idle < maxIdleResumes
	case codes.DeadlineExceeded:
		// The deadline of this call, not of the reader.
		return r.bytes
	default:
		return false
	}
}

func (r *BlobReader) wait(broken error) error {
	if r.idle == 0 {
		return nil
	}
	delay := idleResumeDelay << (r.idle - 1)
	if failure, ok := FromError(broken); ok && failure.RetryDelay > 0 {
		delay = failure.RetryDelay
	}
	select {
	case <-time.After(delay):
		return nil
	case <-r.ctx.Done():
		return broken
	}
}

func (r *BlobReader) verify() error {
	if r.hash == nil {
		return io.EOF
	}
	algorithm, _, _ := strings.Cut(r.rest.GetDigest(), ":")
	if got := fmt.Sprintf("%s:%x", algorithm, r.hash.Sum(nil)); got != r.rest.GetDigest() {
		return &Error{
			Code:    codes.DataLoss,
			Reason:  "DIGEST_MISMATCH",
			Message: fmt.Sprintf("the bytes of the blob have the digest %s, not %s: discard them", got, r.rest.GetDigest()),
		}
	}
	return io.EOF
}

// hashOf returns nil for a digest that the gateway refuses.
func hashOf(digest string) hash.Hash {
	switch algorithm, _, _ := strings.Cut(digest, ":"); algorithm {
	case "sha256":
		return sha256.New()
	case "sha512":
		return sha512.New()
	default:
		return nil
	}
}

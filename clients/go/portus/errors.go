package portus

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Error is the error of a call, with its details. errors.As finds it in the errors of a client that Dial made. An error
// of gRPC itself, such as an unreachable gateway, has only a Code and a Message.
type Error struct {
	Code    codes.Code
	Message string
	// Reason is the registry's own code (MANIFEST_UNKNOWN) or one of the gateway's (TAGGED). Its Domain is
	// `portus-gateway`.
	Reason   string
	Domain   string
	Metadata map[string]string
	// ResourceType and ResourceName say what the call was about.
	ResourceType string
	ResourceName string
	// Tags are the unexpected tags that refused a delete (TAGGED), at most the first 50. Metadata["tags"] is their number.
	Tags []string
	// IndexTags are the tags of indexes that contain the manifest and so refused a delete (REFERENCED, TAGGED).
	IndexTags []string
	// Fields are the invalid fields of the request (INVALID_FIELD).
	Fields []FieldViolation
	// RetryDelay is the time to wait before the next try. 0 if the gateway does not say.
	RetryDelay time.Duration

	stated *status.Status
}

// FieldViolation is an invalid field of the request.
type FieldViolation struct {
	Field       string
	Description string
}

// The messages of gRPC do not say that the address or TLS may be wrong.
const unansweredHint = " (no answer from a gateway: check the address, and whether the gateway uses TLS)"

// Error is the code, the reason and the message.
func (e *Error) Error() string {
	if e.Reason != "" {
		return e.CodeName() + ": " + e.Reason + ": " + e.Message
	}
	if e.Code == codes.Unavailable {
		return e.CodeName() + ": " + e.Message + unansweredHint
	}
	return e.CodeName() + ": " + e.Message
}

// CodeName is the name of the code as in the documentation of gRPC: FAILED_PRECONDITION.
func (e *Error) CodeName() string {
	return code.Code(e.Code).String()
}

// GRPCStatus is the status of the call, for status.FromError and status.Code of gRPC.
func (e *Error) GRPCStatus() *status.Status {
	if e.stated == nil {
		return status.New(e.Code, e.Message)
	}
	return e.stated
}

// FromError returns the error of a call, also if it is wrapped. It returns false for nil and for other errors.
func FromError(err error) (*Error, bool) {
	if err == nil {
		return nil, false
	}
	if found := (*Error)(nil); errors.As(err, &found) {
		return found, true
	}
	stated, ok := status.FromError(err)
	if !ok {
		return nil, false
	}
	return FromStatus(stated.Proto()), true
}

// FromStatus reads a status within a response, such as Repository.tags_status.
func FromStatus(stated *statuspb.Status) *Error {
	result := &Error{
		Code:    codes.Code(stated.GetCode()),
		Message: stated.GetMessage(),
		stated:  status.FromProto(stated),
	}
	for _, packed := range stated.GetDetails() {
		// Details of an unknown type, from a newer gateway, are ignored.
		detail, err := packed.UnmarshalNew()
		if err != nil {
			continue
		}
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			result.Reason, result.Domain, result.Metadata = detail.GetReason(), detail.GetDomain(), detail.GetMetadata()
		case *errdetails.ResourceInfo:
			result.ResourceType, result.ResourceName = detail.GetResourceType(), detail.GetResourceName()
		case *errdetails.RetryInfo:
			result.RetryDelay = detail.GetRetryDelay().AsDuration()
		case *errdetails.BadRequest:
			for _, violation := range detail.GetFieldViolations() {
				result.Fields = append(result.Fields, FieldViolation{violation.GetField(), violation.GetDescription()})
			}
		case *errdetails.PreconditionFailure:
			for _, violation := range detail.GetViolations() {
				switch violation.GetType() {
				case "TAGGED":
					result.Tags = append(result.Tags, violation.GetSubject())
				case "REFERENCED":
					result.IndexTags = append(result.IndexTags, violation.GetSubject())
				}
			}
		}
	}
	return result
}

// typed turns the error of a call into an *Error. Other errors stay as they are.
func typed(err error) error {
	if failure, ok := FromError(err); ok {
		return failure
	}
	return err
}

func unaryErrors(
	ctx context.Context, method string, request, reply any, connection *grpc.ClientConn,
	invoker grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	return typed(invoker(ctx, method, request, reply, connection, options...))
}

func streamErrors(
	ctx context.Context, description *grpc.StreamDesc, connection *grpc.ClientConn, method string,
	streamer grpc.Streamer, options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	stream, err := streamer(ctx, description, connection, method, options...)
	if err != nil {
		return nil, typed(err)
	}
	return typedStream{stream}, nil
}

// typedStream returns an *Error when the call fails.
type typedStream struct {
	grpc.ClientStream
}

func (s typedStream) RecvMsg(message any) error {
	err := s.ClientStream.RecvMsg(message)
	if errors.Is(err, io.EOF) {
		return err
	}
	return typed(err)
}

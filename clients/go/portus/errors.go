package portus

import (
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Error is what the gateway says of a failure, its details read. An error that gRPC itself made, such as an unreachable
// gateway, has a Code and a Message alone.
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
	// Tags are those for whose sake a delete was refused (TAGGED), the first 50; Metadata["tags"] is their number.
	Tags []string
	// Fields are those of the request that are not valid (INVALID_FIELD).
	Fields []FieldViolation
	// RetryDelay is how long to wait before the next try; 0 where nothing was said.
	RetryDelay time.Duration
}

// FieldViolation is what is wrong with a field of the request.
type FieldViolation struct {
	Field       string
	Description string
}

// What gRPC says of a wrong address, or of TLS that meets plaintext, leads few people to the cause.
const unansweredHint = " (no gateway answered: is the address right, and TLS or plaintext as the gateway expects?)"

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

// CodeName is the code as gRPC's documents and the other languages spell it: FAILED_PRECONDITION.
func (e *Error) CodeName() string {
	return code.Code(e.Code).String()
}

// FromError reads the details of an error that a call returned, wrapped or not. False where it is nil, or none of
// gRPC's.
func FromError(err error) (*Error, bool) {
	if err == nil {
		return nil, false
	}
	stated, ok := status.FromError(err)
	if !ok {
		return nil, false
	}
	return FromStatus(stated.Proto()), true
}

// FromStatus reads the details of a status inside an answer, such as Repository.tags_status.
func FromStatus(stated *statuspb.Status) *Error {
	result := &Error{Code: codes.Code(stated.GetCode()), Message: stated.GetMessage()}
	for _, packed := range stated.GetDetails() {
		// A detail of a newer gateway, unknown here, is left out.
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
				if violation.GetType() == "TAGGED" {
					result.Tags = append(result.Tags, violation.GetSubject())
				}
			}
		}
	}
	return result
}

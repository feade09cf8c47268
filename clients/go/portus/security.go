package portus

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// Security is the security of the connection: Plaintext, TLS or MutualTLS.
type Security struct {
	transport credentials.TransportCredentials
	err       error
}

// Plaintext is without any security: for loopback, or within a service mesh.
func Plaintext() Security {
	return Security{transport: insecure.NewCredentials()}
}

// TLS trusts the CA certificates in caFile (PEM), or those of the system if it is empty.
func TLS(caFile string) Security {
	return tlsSecurity(caFile, nil)
}

// MutualTLS is TLS with a client certificate. Its files (PEM) are read for each connection, so a renewed certificate is
// used without a restart.
func MutualTLS(certificateFile, keyFile, caFile string) Security {
	load := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		certificate, err := tls.LoadX509KeyPair(certificateFile, keyFile)
		return &certificate, err
	}
	if _, err := load(nil); err != nil {
		return Security{err: fmt.Errorf("portus: cannot use the client certificate: %w", err)}
	}
	return tlsSecurity(caFile, load)
}

func tlsSecurity(caFile string, own func(*tls.CertificateRequestInfo) (*tls.Certificate, error)) Security {
	config := &tls.Config{MinVersion: tls.VersionTLS12, GetClientCertificate: own}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return Security{err: fmt.Errorf("portus: cannot read the CA certificates: %w", err)}
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return Security{err: fmt.Errorf("portus: %s does not contain CA certificates in PEM format", caFile)}
		}
	}
	return Security{transport: credentials.NewTLS(config)}
}

func (s Security) dialOptions(token tokenSource) ([]grpc.DialOption, error) {
	if s.err != nil {
		return nil, s.err
	}
	if s.transport == nil {
		return nil, errors.New("portus: no security is set: use Plaintext(), TLS(…) or MutualTLS(…)")
	}
	options := []grpc.DialOption{grpc.WithTransportCredentials(s.transport)}
	if token == nil {
		return options, nil
	}
	if s.transport.Info().SecurityProtocol != "tls" {
		return nil, errors.New("portus: a token needs TLS, because in plaintext others could read it")
	}
	return append(options, grpc.WithPerRPCCredentials(token)), nil
}

// WithToken sends a bearer token with every call. It needs TLS.
func WithToken(token string) Option {
	return func(s *settings) { s.token = func() (string, error) { return token, nil } }
}

// WithTokenFile sends the bearer token in the file. The file is read for every call, because Kubernetes and others
// renew such files. It needs TLS.
func WithTokenFile(path string) Option {
	return func(s *settings) {
		s.token = func() (string, error) {
			content, err := os.ReadFile(path)
			return strings.TrimSpace(string(content)), err
		}
	}
}

// tokenSource implements credentials.PerRPCCredentials.
type tokenSource func() (string, error)

func (source tokenSource) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	token, err := source()
	if err != nil {
		return nil, fmt.Errorf("cannot read the token file: %w", err)
	}
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r < '!' || r > '~' }) {
		return nil, errors.New("the token is empty or has a character that is not visible ASCII")
	}
	return map[string]string{"authorization": "Bearer " + token}, nil
}

func (tokenSource) RequireTransportSecurity() bool { return true }

package portus_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"github.com/portus-gateway/portus-gateway/clients/go/portus"
	registryv1 "github.com/portus-gateway/portus-gateway/clients/go/portus/registry/v1"
)

func TestTokenFileIsReadForEachCall(t *testing.T) {
	certificateFile, keyFile := certificate(t)
	address, seen := secured(t, certificateFile, keyFile, tls.NoClientCert)
	tokenFile := filepath.Join(t.TempDir(), "token")
	client := dial(t, address, portus.TLS(certificateFile), portus.WithTokenFile(tokenFile))
	for _, token := range []string{"first", "second"} {
		write(t, tokenFile, token+"\n")
		if _, err := client.GetManifest(context.Background(), &registryv1.GetManifestRequest{}); err != nil {
			t.Fatal(err)
		}
		if got := <-seen; got != "Bearer "+token {
			t.Errorf("the gateway saw %q", got)
		}
	}
}

func TestMutualTLSShowsTheCertificate(t *testing.T) {
	certificateFile, keyFile := certificate(t)
	address, seen := secured(t, certificateFile, keyFile, tls.RequireAnyClientCert)
	client := dial(t, address, portus.MutualTLS(certificateFile, keyFile, certificateFile), portus.WithToken("t"))
	if _, err := client.GetManifest(context.Background(), &registryv1.GetManifestRequest{}); err != nil {
		t.Fatal(err)
	}
	if got := <-seen; got != "Bearer t" {
		t.Errorf("the gateway saw %q", got)
	}
}

func TestTokenOverPlaintextIsRefused(t *testing.T) {
	_, err := portus.Dial("127.0.0.1:1", portus.Plaintext(), portus.WithToken("secret"))
	if err == nil || !strings.Contains(err.Error(), "needs TLS") || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

func TestTokenThatCannotBeSentIsRefusedAndNotRepeated(t *testing.T) {
	certificateFile, keyFile := certificate(t)
	address, seen := secured(t, certificateFile, keyFile, tls.NoClientCert)
	for _, token := range []string{"", "hunter2\nx", "h\u00fcnter2", "hunter2 x"} {
		client, err := portus.Dial(address, portus.TLS(certificateFile), portus.WithToken(token))
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.GetManifest(context.Background(), &registryv1.GetManifestRequest{})
		if err == nil || !strings.Contains(err.Error(), "visible ASCII") || strings.Contains(err.Error(), "nter2") {
			t.Errorf("%q: %v", token, err)
		}
		client.Close()
	}
	if len(seen) != 0 {
		t.Error("a token was sent")
	}
}

func TestUnusableFilesAreSaidWhenDialling(t *testing.T) {
	garbage := filepath.Join(t.TempDir(), "ca.pem")
	write(t, garbage, "no certificate")
	for name, security := range map[string]portus.Security{
		"no security":    {},
		"missing":        portus.TLS(filepath.Join(t.TempDir(), "none.pem")),
		"no certificate": portus.TLS(garbage),
		"no key pair":    portus.MutualTLS(garbage, garbage, ""),
	} {
		if _, err := portus.Dial("127.0.0.1:1", security); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// secured serves a gateway that reports the authorization of each call.
func secured(t *testing.T, certificateFile, keyFile string, clients tls.ClientAuthType) (string, <-chan string) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(certificateFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan string, 1)
	g := &gateway{get: func(ctx context.Context) (*registryv1.GetManifestResponse, error) {
		seen <- strings.Join(metadata.ValueFromIncomingContext(ctx, "authorization"), ",")
		return &registryv1.GetManifestResponse{}, nil
	}}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: clients}
	return g.start(t, grpc.Creds(credentials.NewTLS(config))), seen
}

func certificate(t *testing.T) (certificateFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:         true, BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificateFile, keyFile = filepath.Join(t.TempDir(), "certificate.pem"), filepath.Join(t.TempDir(), "key.pem")
	write(t, certificateFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})))
	write(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
	return certificateFile, keyFile
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAddressIsNoURL(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		_, err := portus.Dial(scheme+"://localhost:50051", portus.Plaintext())
		if err == nil || !strings.Contains(err.Error(), "write host:port, without "+scheme+"://") {
			t.Errorf("got %v", err)
		}
	}
}

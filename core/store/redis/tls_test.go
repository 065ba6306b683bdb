package redis

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sallyport/sallyport/core/store/storetest"
)

// With rediss the server's certificate is verified, its name included.
func TestTLS(t *testing.T) {
	certFile, keyFile, roots := newCertificate(t)
	server := storetest.StartRedis(t, "--tls-cert-file", certFile, "--tls-key-file", keyFile, "--tls-auth-clients", "no")
	tlsAddr := listenTLS(t, server.Addr)

	if d, err := Open(t.Context(), "rediss://"+tlsAddr); err == nil {
		d.Close()
		t.Error("opened with a certificate that nobody vouches for")
	}
	open := func(host string) error {
		_, port, err := net.SplitHostPort(tlsAddr)
		if err != nil {
			t.Fatal(err)
		}
		a, err := parse("rediss://" + net.JoinHostPort(host, port))
		if err != nil {
			t.Fatal(err)
		}
		a.options.TLSConfig.RootCAs = roots
		d := connect(a)
		defer d.Close()
		return d.Ping(t.Context())
	}
	if err := open("127.0.0.1"); err != nil {
		t.Errorf("with a trusted certificate: %v", err)
	}
	if err := open("localhost"); err == nil {
		t.Error("connected under a name that the certificate does not have")
	}
}

// listenTLS makes a server listen for TLS on a free port as well.
func listenTLS(t *testing.T, server string) string {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: server, Protocol: 2})
	defer c.Close()
	var err error
	for range 5 { // another process may take the free port first
		l, listenErr := net.Listen("tcp", "127.0.0.1:0")
		if listenErr != nil {
			t.Fatal(listenErr)
		}
		l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		if err = c.ConfigSet(t.Context(), "tls-port", port).Err(); err == nil {
			return l.Addr().String()
		}
	}
	t.Fatal(err)
	return ""
}

// newCertificate makes a certificate for 127.0.0.1 and the pool that trusts it.
func newCertificate(t *testing.T) (certFile, keyFile string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AddCert(cert)
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", keyDER), roots
}

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
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sallyport/sallyport/core/coretest/loopback"
	"github.com/sallyport/sallyport/core/store/storetest"
)

// With rediss the server's certificate is verified, its name included, and one
// of ours is shown to a server that wants it.
func TestTLS(t *testing.T) {
	certFile, keyFile := newCertificate(t)
	otherCert, otherKey := newCertificate(t)
	server := storetest.StartRedis(t, "--requirepass", "token", "--tls-cert-file", certFile, "--tls-key-file", keyFile, "--tls-ca-cert-file", certFile)
	_, port, err := net.SplitHostPort(listenTLS(t, server.Addr, "token"))
	if err != nil {
		t.Fatal(err)
	}
	const refused = "refused"
	for _, c := range []struct{ name, host, query, clients, want string }{
		{"nobody vouches", "127.0.0.1", "", "no", "unknown authority"},
		{"somebody else is vouched for", "127.0.0.1", "?ca=" + otherCert, "no", "unknown authority"},
		{"vouched for", "127.0.0.1", "?ca=" + certFile, "no", ""},
		{"vouched for, IPv6", "::1", "?ca=" + certFile, "no", ""},
		{"under another name", "localhost", "?ca=" + certFile, "no", "match localhost"},
		{"no client certificate", "127.0.0.1", "?ca=" + certFile, "yes", refused},
		{"a client certificate", "127.0.0.1", "?ca=" + certFile + "&cert=" + certFile + "&key=" + keyFile, "yes", ""},
		{"a stranger's client certificate", "127.0.0.1", "?ca=" + certFile + "&cert=" + otherCert + "&key=" + otherKey, "yes", refused},
	} {
		t.Run(c.name, func(t *testing.T) {
			ask(t, server.Addr, "token", "config", "set", "tls-auth-clients", c.clients)
			d, err := Open(t.Context(), "rediss://default:token@"+net.JoinHostPort(c.host, port)+c.query)
			if err == nil {
				d.Close()
			}
			switch c.want {
			case "":
				if err != nil {
					t.Error(err)
				}
			case refused: // the server hangs up, in words of its TLS library
				if err == nil {
					t.Error("let in")
				}
			default:
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v; want %q in it", err, c.want)
				}
			}
		})
	}
}

// The nodes of a cluster are verified as well, under the addresses that they
// announce.
func TestTLSCluster(t *testing.T) {
	certFile, keyFile := newCertificate(t)
	server := storetest.StartRedis(t, "--cluster-enabled", "yes", "--tls-cert-file", certFile, "--tls-key-file", keyFile,
		"--tls-ca-cert-file", certFile, "--tls-auth-clients", "no")
	addr := listenTLS(t, server.Addr, "")
	oneNodeCluster(t, server.Addr, addr)
	if err := useAll(t.Context(), mustOpen(t, "rediss+cluster://"+addr+"?ca="+certFile)); err != nil {
		t.Error(err)
	}
	if _, err := Open(t.Context(), "rediss+cluster://"+addr); err == nil {
		t.Error("opened a cluster that nobody vouches for")
	}
}

func TestCertificateFilesThatAreNone(t *testing.T) {
	certFile, keyFile := newCertificate(t)
	for query, want := range map[string]string{
		"ca=/no/such/file": "ca: stat /no/such/file",
		"ca=/dev/zero":     "ca: /dev/zero is not a regular file",
		"cert=" + certFile + "&key=" + filepath.Dir(keyFile): "is not a regular file",
		"ca=" + keyFile:                               "has no certificate in PEM",
		"cert=" + keyFile + "&key=" + keyFile:         "cert and key: ",
		"cert=" + certFile + "&key=/no/such/key/file": "/no/such/key/file",
	} {
		_, err := Open(t.Context(), "rediss://:s3cret@127.0.0.1:1?"+query)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q in it", query, err, want)
		}
		noSecret(t, err)
	}
}

// ask sends a command to a server and fails the test if it answers an error.
func ask(t *testing.T, server, password string, args ...any) {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: server, Password: password, Protocol: 2})
	defer c.Close()
	if err := c.Do(t.Context(), args...).Err(); err != nil {
		t.Fatal(err)
	}
}

// listenTLS makes a server listen for TLS on a free port as well.
func listenTLS(t *testing.T, server, password string) string {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: server, Password: password, Protocol: 2})
	defer c.Close()
	addr := loopback.Free(t)
	_, port, _ := net.SplitHostPort(addr)
	if err := c.ConfigSet(t.Context(), "tls-port", port).Err(); err != nil {
		t.Fatal(err)
	}
	return addr
}

// newCertificate makes a certificate for 127.0.0.1 and ::1 that vouches for
// itself.
func newCertificate(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
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
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", keyDER)
}

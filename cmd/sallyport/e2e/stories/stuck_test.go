package stories

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/cmd/sallyport/internal/demo"
)

func pipe(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_ = to.Close()
}

// entra is a double of Microsoft's identity platform with one app for client
// and resource: a refresh without the scope is refused (AADSTS90009).
type entra struct {
	mu    sync.Mutex
	nonce string
	asked []string // scope of each refresh
}

const (
	entraHost   = "login.microsoftonline.com"
	entraTenant = "9122040d-6c67-4c5b-b112-36a304b66dad"
)

func (e *entra) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const issuer = "https://" + entraHost + "/" + entraTenant + "/v2.0"
	const base = "https://" + entraHost + "/" + entraTenant + "/oauth2/v2.0"
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case strings.HasSuffix(r.URL.Path, "/openid-configuration"):
		writeJSON(w, http.StatusOK, map[string]any{"issuer": issuer, "authorization_endpoint": base + "/authorize", "token_endpoint": base + "/token"})
	case strings.HasSuffix(r.URL.Path, "/authorize"):
		e.nonce = r.FormValue("nonce")
		http.Redirect(w, r, r.FormValue("redirect_uri")+"?code=c&state="+r.FormValue("state"), http.StatusFound)
	case strings.HasSuffix(r.URL.Path, "/token"):
		if r.FormValue("grant_type") == "refresh_token" {
			e.asked = append(e.asked, r.FormValue("scope"))
			if r.FormValue("scope") == "" {
				writeJSON(w, http.StatusBadRequest, map[string]any{"error": "invalid_request",
					"error_description": "AADSTS90009: Application is requesting a token for itself. This scenario is supported only if resource is specified using the GUID based App Identifier."})
				return
			}
		}
		writeJSON(w, http.StatusOK, map[string]any{
			"access_token": "at", "refresh_token": "rt", "token_type": "Bearer", "expires_in": 1, "id_token": e.idToken(issuer),
		})
	default:
		http.NotFound(w, r)
	}
}

func (e *entra) idToken(issuer string) string {
	now := time.Now().Unix()
	claims, _ := json.Marshal(map[string]any{
		"iss": issuer, "aud": "app", "sub": "s", "oid": "00000000-0000-0000-66f3-3332eca7ea81", "tid": entraTenant,
		"iat": now, "exp": now + 3600, "nonce": e.nonce, "name": "Ada",
	})
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + encode(claims) + "." + encode([]byte("signature"))
}

// selfSigned is a certificate for a host, and its PEM for those who trust it.
func selfSigned(t *testing.T, host string) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func entraScope(t *testing.T) {
	up, server, s := &entra{}, newBackend(t), newServer(t)
	certificate, text := selfSigned(t, entraHost)
	s.write("ca.pem", string(text))
	inside := httptest.NewUnstartedServer(up)
	inside.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	inside.StartTLS()
	t.Cleanup(func() { inside.CloseClientConnections(); inside.Close() })
	proxy := &tunnel{inside: inside}
	proxy.Server = httptest.NewServer(proxy)
	t.Cleanup(func() { proxy.CloseClientConnections(); proxy.Close() })

	s.use(module("oidc"))
	s.env = []string{"HTTPS_PROXY=" + proxy.URL, "SSL_CERT_FILE=" + filepath.Join(s.dir, "ca.pem")}
	s.private = []string{"unused.test:1"}
	s.tenants = `  acme: { provider: oidc, settings: { preset: microsoft, tenant: "` + entraTenant + `" }, client_id: app, client_secret: secret-of-the-app-at-entra, scopes: [openid, "api://app/access"], backend: "` + server.URL + `/mcp" }` + "\n"
	s.mustStart()

	trust := x509.NewCertPool()
	trust.AppendCertsFromPEM(text)
	proxyURL, _ := url.Parse(proxy.URL)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust}, Proxy: func(r *http.Request) (*url.URL, error) {
		if r.URL.Scheme == "https" {
			return proxyURL, nil
		}
		return nil, nil
	}}
	c := newClient(t, s.tenantURL("acme"))
	if err := c.loginWith(demo.NewBrowser(demo.SignIn("ada"), transport)); err != nil {
		t.Fatal(err)
	}
	if !s.until(s.done, func() bool { c.call(); up.mu.Lock(); defer up.mu.Unlock(); return len(up.asked) > 0 }) {
		t.Fatal("nothing is renewed")
	}
	if a := c.call(); a.status != http.StatusOK {
		t.Errorf("a call after a renewal is answered %d %s", a.status, a.body)
	}
	up.mu.Lock()
	defer up.mu.Unlock()
	for _, scope := range up.asked {
		if !strings.Contains(scope, "api://app/access") {
			t.Errorf("Entra was asked to renew with the scope %q", scope)
		}
	}
}

// wantLogin fails unless the client is told to log in again, and can.
func wantLogin(t *testing.T, c *client) {
	t.Helper()
	asked := func() bool { a := c.call(); return a.status == http.StatusUnauthorized && a.challenge != "" }
	if a := c.call(); !asked() {
		t.Errorf("a call is answered %d %s, want 401 with a challenge", a.status, a.body)
	}
	if status, body := c.renew(); status != http.StatusBadRequest || !strings.Contains(body, "invalid_grant") {
		t.Errorf("a refresh is answered %d %s, want invalid_grant", status, body)
	}
	c.mustLogin("ada")
	c.wantCall(http.StatusOK)
}

// refused answers a token request with an OAuth error.
func refused(status int, code string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, status, map[string]any{"error": code, "error_description": "no"})
	}
}

// expired is a client whose upstream token is over.
func expired(t *testing.T) (*sallyport, *upstream, *client) {
	t.Helper()
	s, up, _, c := acme(t, func(_ *sallyport, up *upstream) { up.life = 1 })
	up.life = 3600                      // of what is issued from now on
	time.Sleep(1100 * time.Millisecond) // the upstream's seconds
	return s, up, c
}

func needsLogin(t *testing.T) {
	for _, code := range []string{"invalid_grant", "interaction_required", "consent_required", "login_required", "access_denied", "invalid_scope"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			_, up, c := expired(t)
			up.token = refused(http.StatusBadRequest, code)
			wantLogin(t, c)
		})
	}
}

// deadTokenUnderOtherNames refuses one user's token while another's is renewed.
func deadTokenUnderOtherNames(t *testing.T) {
	for _, code := range []string{"invalid_request", "unauthorized_client"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			s, up, c := expired(t)
			up.life = 1
			other := newClient(t, s.tenantURL("acme"))
			other.mustLogin("grace")
			up.life = 3600
			time.Sleep(1100 * time.Millisecond) // the upstream's seconds
			up.token = func(w http.ResponseWriter, r *http.Request) {
				if up.userOf(r.FormValue("refresh_token")) == "ada" {
					refused(http.StatusBadRequest, code)(w, r)
					return
				}
				up.grant(w, r)
			}
			other.wantCall(http.StatusOK)
			wantLogin(t, c)
			other.wantCall(http.StatusOK)
		})
	}
}

// wrongSecretOfOurs has the upstream refuse our client for a while.
func wrongSecretOfOurs(t *testing.T) {
	_, up, c := expired(t)
	up.token = refused(http.StatusUnauthorized, "invalid_client")
	if a := c.call(); a.status != http.StatusBadGateway && a.status != http.StatusServiceUnavailable {
		t.Errorf("a call is answered %d %s, want 502", a.status, a.body)
	}
	if status, body := c.renew(); strings.Contains(body, "invalid_grant") {
		t.Errorf("a refresh is answered %d %s: the client throws its tokens away", status, body)
	}
	up.token = nil
	if !c.eventually(http.StatusOK) {
		t.Error("with the secret mended the user is not served")
	}
}

// eventually reports whether a call is answered with the status within patience.
func (c *client) eventually(status int) bool {
	for began := time.Now(); time.Since(began) < patience; time.Sleep(100 * time.Millisecond) {
		if c.call().status == status {
			return true
		}
	}
	return false
}

// hangingTokenEndpoint has the token endpoint hang while the token is good.
func hangingTokenEndpoint(t *testing.T) {
	_, up, _, c := acme(t, func(_ *sallyport, up *upstream) { up.life = 50 })
	hung := make(chan struct{})
	up.token = func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-hung:
		case <-r.Context().Done():
		}
		up.grant(w, r)
	}
	t.Cleanup(func() { close(hung) })
	const calls, callers = 200, 10
	var mu sync.Mutex
	var wg sync.WaitGroup
	late, failed := 0, 0
	var longest time.Duration
	for range callers {
		wg.Go(func() {
			for range calls / callers {
				a, err := c.tryCall(toolCall)
				mu.Lock()
				if err != nil || a.status != http.StatusOK {
					failed++
				}
				if a.took > time.Second {
					late++
				}
				longest = max(longest, a.took)
				mu.Unlock()
				if err != nil || a.status != http.StatusOK {
					return // it has taken half a minute
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d calls while the token endpoint hangs: %d failed, %d took more than a second, the longest %v", calls, failed, late, longest)
	if failed > 0 || late > 0 {
		t.Errorf("%d of %d calls with a good token failed and %d took more than a second", failed, calls, late)
	}
}

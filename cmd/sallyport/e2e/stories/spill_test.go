package stories

import (
	"encoding/base64"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport/sallyport/cmd/sallyport/internal/demo"
)

// mixUp is the attack of RFC 9700 §4.4 with a shared callback: the evil
// upstream sends the victim on to the honest one, in the attacker's login.
func mixUp(t *testing.T) {
	honest, evil, server := newUpstream(t), newUpstream(t), newBackend(t)
	s := newServer(t)
	s.use(module("oauth2"))
	shared := "http://" + s.front + "/callback"
	s.server = `, callback_url: "` + shared + `"`
	s.private = []string{honest.host(), evil.host()}
	s.tenants = honest.tenant("honest", "honest-app", server.URL, "    callback: shared\n") +
		evil.tenant("evil", "evil-app", server.URL, "    callback: shared\n")
	if !s.start() {
		if !strings.Contains(s.logged(), "callback") {
			t.Error("the server does not start and does not say that the callback is the reason")
		}
		return // refused at load
	}

	if status := get(t, s.tenantURL("honest")+"/.well-known/oauth-authorization-server"); status != http.StatusOK {
		return // the tenant alone was refused at load
	}

	// The attacker begins a login at the honest tenant and stops before its upstream.
	attacker := newClient(t, s.tenantURL("honest"))
	attackerBrowser := demo.NewBrowser(demo.SignIn("grace"), nil)
	begun, err := attackerBrowser.Visit(t.Context(), attacker.authorizeURL(), func(u *url.URL) bool { return u.Host == honest.host() })
	if err != nil {
		t.Fatal(err)
	}

	// The victim logs in at the evil tenant.
	evil.page = func(w http.ResponseWriter, r *http.Request) {
		q := url.Values{
			"response_type": {"code"}, "client_id": {"honest-app"}, "redirect_uri": {shared}, "scope": {"read"}, "state": {r.FormValue("state")},
			"code_challenge": {begun.Query().Get("code_challenge")}, "code_challenge_method": {"S256"},
		}
		http.Redirect(w, r, honest.URL+"/authorize?"+q.Encode(), http.StatusFound)
	}
	victim := newClient(t, s.tenantURL("evil"))
	_ = victim.login("ada")
	stolen := ""
	for _, code := range honest.all() {
		if strings.Contains(evil.text(), code) {
			stolen = code
		}
	}
	if stolen == "" {
		return
	}
	t.Error("the honest upstream's code reached the evil upstream's token endpoint")
	back, err := attackerBrowser.Visit(t.Context(), shared+"?code="+stolen+"&state="+begun.Query().Get("state"), back)
	if err == nil && attacker.redeem(back) == nil && attacker.call().status == http.StatusOK {
		t.Error("the attacker calls the honest backend with the victim's token")
	}
}

// foldedHeaders sends the names of ours with every separator that a field name
// may have (RFC 9110 §5.6.2). CGI and WSGI make an underscore of each.
func foldedHeaders(t *testing.T) {
	up, server, s := newUpstream(t), newBackend(t), newServer(t)
	s.use(module("oauth2"))
	s.private = []string{up.host()}
	s.tenants = up.tenant("acme", "app", server.URL, `    inject: { X-User: "{subject}", Authorization: "Bearer {token}" }`+"\n")
	s.mustStart()
	c := newClient(t, s.tenantURL("acme"))
	c.mustLogin("ada")
	var names []string
	server.serve = func(w http.ResponseWriter, r *http.Request) {
		for name := range r.Header {
			names = append(names, name)
		}
		writeJSON(w, http.StatusOK, map[string]any{})
	}
	fold := func(name string) string {
		return strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
				return r
			}
			return '_'
		}, strings.ToLower(name))
	}
	reserved := []string{"X-User", "X-Sallyport-Assertion", "X-Forwarded-For", "X-Forwarded-Host"}
	for _, name := range reserved {
		for _, separator := range "!#$%&'*+.^_`|~" {
			names = nil
			c.call(strings.ReplaceAll(name, "-", string(separator)), "forged")
			for _, got := range names {
				if !slices.Contains(reserved, got) && slices.ContainsFunc(reserved, func(r string) bool { return fold(r) == fold(got) }) {
					t.Errorf("the header %s passes, which a backend may read as %s", got, name)
				}
			}
		}
	}
}

// changedUpstream changes each setting that makes a tenant another upstream's,
// under a user who is logged in and another whose login is under way.
func changedUpstream(t *testing.T) {
	for _, how := range []string{"reload", "restart"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			before, after, oldServer, newServerOf := newUpstream(t), newUpstream(t), newBackend(t), newBackend(t)
			before.life = 3600
			s := newServer(t)
			s.use(module("oauth2"))
			s.private = []string{before.host(), after.host()}
			s.tenants = before.tenant("acme", "app", oldServer.URL, "")
			s.mustStart()
			c := newClient(t, s.tenantURL("acme"))
			c.mustLogin("ada")
			c.wantCall(http.StatusOK)
			late := newClient(t, s.tenantURL("acme"))
			browser := demo.NewBrowser(demo.SignIn("grace"), nil)
			underWay, err := browser.Visit(t.Context(), late.authorizeURL(), func(u *url.URL) bool { return strings.HasSuffix(u.Path, "/callback") && !back(u) })
			if err != nil {
				t.Fatal(err)
			}

			s.tenants = after.tenant("acme", "app", newServerOf.URL, "")
			turn := func() {
				if how == "reload" {
					s.reload()
				} else {
					s.stop()
					s.mustStart()
				}
			}
			turn()
			c.call()
			_, _ = browser.Visit(t.Context(), underWay.String(), back)
			c.renew()
			c.call()
			for _, value := range before.all() {
				if strings.Contains(after.text(), value) {
					t.Error("the new upstream was sent a code or a token of the old one")
				}
				if strings.Contains(newServerOf.text(), value) {
					t.Error("the new backend was sent a token of the old upstream")
				}
			}

			s.tenants = before.tenant("acme", "app", oldServer.URL, "")
			turn()
			if status, body := c.renew(); status != http.StatusOK {
				t.Errorf("after the change was undone a refresh is answered %d %s", status, body)
			}
			c.wantCall(http.StatusOK)
		})
	}
}

// strangersProxy gives the server a proxy and URLs of clients that only the
// proxy could reach.
func strangersProxy(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.Method+" "+r.Host)
		w.WriteHeader(http.StatusBadGateway)
	}))
	t.Cleanup(proxy.Close)
	up, server, s := newUpstream(t), newBackend(t), newServer(t)
	s.use(module("oauth2"))
	s.env = []string{"HTTPS_PROXY=" + proxy.URL, "https_proxy=" + proxy.URL}
	s.private = []string{up.host()}
	s.tenants = up.tenant("acme", "app", server.URL, "")
	s.mustStart()
	c := &client{t: t, tenant: s.tenantURL("acme"), http: web()}
	for _, host := range []string{
		"vault.internal.corp:8200", "kubernetes.default.svc", "metadata.google.internal", "127.1", "0x7f.1:8443", "2130706433",
		"localhost.", "[::ffff:127.0.0.1]", "169.254.169.254", "printer.local", "intranet",
	} {
		c.post("/token", "application/x-www-form-urlencoded", url.Values{
			"grant_type": {"authorization_code"}, "code": {"x"}, "client_id": {"https://" + host + "/client.json"},
			"redirect_uri": {redirectURI}, "code_verifier": {verifier},
		}.Encode())
	}
	mu.Lock()
	defer mu.Unlock()
	for _, a := range asked {
		t.Errorf("the proxy was asked: %s", a)
	}
}

// echoedSecret runs a module that has the client secret sent under a name of
// its choice to a host that it declares, and reads it from the answer.
func echoedSecret(t *testing.T) {
	for _, param := range []string{"text", "client_secret"} {
		t.Run(param, func(t *testing.T) {
			t.Parallel()
			up, server := newUpstream(t), newBackend(t)
			host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/echo" {
					up.ServeHTTP(w, r)
					return
				}
				_, _ = w.Write([]byte("<" + r.FormValue(param) + ">"))
			}))
			t.Cleanup(host.Close)
			s := newServer(t)
			s.use(guest("echo"))
			s.private = []string{strings.TrimPrefix(host.URL, "http://")}
			const secret = "a-client-secret-of-this-tenant-alone"
			s.tenants = `  acme: { provider: echo, settings: { base: "` + host.URL + `", param: ` + param + ` }, client_id: app, client_secret: ` + secret + `, scopes: [read], backend: "` + server.URL + `/mcp" }` + "\n"
			s.mustStart()
			c := newClient(t, s.tenantURL("acme"))
			if err := c.login("ada"); err != nil {
				return // it never came to a result
			}
			c.call()
			dump := server.text() + string(s.audited()) + s.logged()
			for _, line := range strings.Split(server.text(), "\r\n") {
				if token, ok := strings.CutPrefix(line, "X-Sallyport-Assertion: "); ok && strings.Count(token, ".") == 2 {
					claims, _ := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
					dump += string(claims)
				}
			}
			if strings.Contains(dump, secret) {
				t.Error("the client secret came out as the name of an account")
			}
		})
	}
}

// tunnel is a double of a forward proxy for one TLS host, which it answers
// itself.
type tunnel struct {
	*httptest.Server
	inside *httptest.Server // speaks TLS
}

func (p *tunnel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		_ = http.NewResponseController(w).EnableFullDuplex() // without it net/http closes the body while the transport reads it
		(&httputil.ReverseProxy{Rewrite: func(*httputil.ProxyRequest) {}}).ServeHTTP(w, r)
		return
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	to, err := net.Dial("tcp", p.inside.Listener.Addr().String())
	if err != nil {
		_ = conn.Close()
		return
	}
	_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\n\r\n"))
	go pipe(to, conn)
	go pipe(conn, to)
}

package core_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/sallyport/sallyport/core/coretest"
)

// What holds of every answer, whatever was asked and whatever failed inside.

// arrival is a request as it arrives, with {names} of the world's in it.
type arrival struct{ method, host, path, query, headers, body string }

// request makes the request that net/http would make of an arrival, or nil if it
// would make none. Header lines are "Name: value".
func (w *world) request(a arrival) *http.Request {
	fill := strings.NewReplacer(w.replacements()...)
	target := a.path
	if a.query != "" {
		target += "?" + fill.Replace(a.query)
	}
	u, err := url.ParseRequestURI(fill.Replace(target))
	if err != nil || !strings.HasPrefix(a.path, "/") || strings.ContainsFunc(a.host, notHost) {
		return nil
	}
	body := fill.Replace(a.body)
	r := &http.Request{
		Method: a.method, URL: u, RequestURI: u.String(), Host: a.host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), RemoteAddr: "192.0.2.7:40000",
	}
	if body == "" {
		r.Body = http.NoBody
	}
	for line := range strings.SplitSeq(fill.Replace(a.headers), "\n") {
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" || strings.ContainsFunc(name, notToken) || strings.ContainsFunc(value, control) {
			continue
		}
		r.Header.Add(name, strings.Trim(value, " \t"))
	}
	return r
}

func (w *world) replacements() (pairs []string) {
	for _, name := range slices.Sorted(maps.Keys(w.names)) {
		pairs = append(pairs, "{"+name+"}", w.names[name])
	}
	return pairs
}

func notHost(c rune) bool {
	return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("!$%&'()*+,-.:;=@[]_~", c))
}

func notToken(c rune) bool {
	return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", c))
}

func control(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }

// answer asks in a world as it was at first. A panic that reaches net/http is
// nil: it cuts the connection.
func (w *world) answer(t testing.TB, a arrival) (rec *httptest.ResponseRecorder, sent string) {
	t.Helper()
	r := w.request(a)
	if r == nil {
		return nil, ""
	}
	sent = said(r, strings.NewReplacer(w.replacements()...).Replace(a.body))
	w.store.Restore(w.before)
	w.log.Reset()
	w.audited()
	w.audit.Reset()
	w.backend.faults = nil
	w.up.forget()
	rec = httptest.NewRecorder()
	defer func() {
		if v := recover(); v != nil {
			t.Errorf("%+v: panic: %v", a, v)
		}
	}()
	if a.host == operatorHost {
		w.server.Operator().ServeHTTP(rec, r)
	} else {
		w.server.ServeHTTP(rec, r)
	}
	return rec, sent
}

// operatorHost stands for the operator's listener, which answers for any host.
const operatorHost = "operator"

// said is all that somebody tells by a request, in every spelling in which an
// answer may repeat it.
func said(r *http.Request, body string) string {
	all := []string{r.Host, r.URL.Path, r.RequestURI, r.URL.RawQuery, body}
	for name, values := range r.Header {
		all = append(append(all, name), values...)
		for _, value := range values {
			if _, basic, ok := strings.Cut(value, " "); ok {
				decoded, _ := base64.StdEncoding.DecodeString(strings.TrimSpace(basic))
				all = append(all, string(decoded))
			}
		}
	}
	var decoded any
	if json.Unmarshal([]byte(body), &decoded) == nil {
		all = append(all, fmt.Sprint(decoded))
	}
	for _, text := range slices.Clone(all) {
		if plain, err := url.QueryUnescape(text); err == nil {
			all = append(all, plain)
		}
		for part := range strings.SplitSeq(text, "&") { // one bad escape spoils no other
			_, value, _ := strings.Cut(part, "=")
			plain, _ := url.QueryUnescape(value)
			all = append(all, plain)
		}
	}
	whole := strings.Join(all, "\n")
	return strings.ToLower(whole + "\n" + cleaned(whole))
}

// cleaned is a text as an error's description may repeat it.
func cleaned(s string) string { return strings.NewReplacer(`"`, "'", `\`, "/").Replace(s) }

// inside is what no answer may hold: our own words for what went wrong, the
// store's keys, Go's types and files.
var inside = []string{
	".go:", "goroutine", "runtime error", "redis:", "grant/", "session/", "account/", "blocked/", "pushed/", "json:", "unexpected end", "dial tcp", "unmarshal",
	"sealed", "seal:", "store:", "grant:", "client:", "credential:", "upstream:", "gateway:", "session:", "fetch:", "tenant:", canary,
	"*url.", "*errors.", "*fmt.", "*oauth.", "*json.", "map[", "%!", "<nil>", "invalid url escape", "/core/", "/home/", "/work/", "/tmp/",
}

// visible is all that an answer says, also in the spellings that hide it.
func visible(rec *httptest.ResponseRecorder) string {
	var all []string
	for name, values := range rec.Header() {
		for _, value := range values {
			plain, _ := url.QueryUnescape(value)
			all = append(all, name+": "+value, plain)
		}
	}
	body := unstyled(rec.Body.String()) // the same for everybody
	all = append(all, body, html.UnescapeString(body))
	if plain, err := url.QueryUnescape(html.UnescapeString(body)); err == nil {
		all = append(all, plain)
	}
	return strings.Join(all, "\n")
}

// checkAnswer holds an answer to what holds of all. Of the statuses from 500 up
// only those are good that belong to what was made to fail.
func (w *world) checkAnswer(t testing.TB, a arrival, rec *httptest.ResponseRecorder, sent string, failures ...int) {
	t.Helper()
	fault := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%+v\n%s\n%d %v\n%s", a, fmt.Sprintf(format, args...), rec.Code, rec.Header(), unstyled(rec.Body.String()))
	}
	if strings.Contains(sent, "backend-says-401") { // of a token that was issued a moment ago
		failures = append(failures, http.StatusBadGateway)
	}
	if rec.Code >= 500 && !slices.Contains(failures, rec.Code) {
		fault("status %d", rec.Code)
	}
	if a.host != operatorHost && rec.Header().Get("X-Content-Type-Options") != "nosniff" {
		fault("no nosniff")
	}
	checkHeaders(rec, fault)
	checkRedirects(rec, fault)
	w.checkAuthorization(a, rec, fault)
	if strings.HasPrefix(rec.Header().Get("Content-Type"), "application/json") && rec.Header().Get("Mcp-From-Backend") == "" && a.method != http.MethodHead {
		checkJSON(rec, fault)
	}
	shown := visible(rec)
	for _, secret := range w.secrets {
		if strings.Contains(shown, secret) && !strings.Contains(sent, strings.ToLower(secret)) && !w.entitled(sent, secret) {
			fault("holds a secret: %s", secret)
		}
	}
	lower := strings.ToLower(shown)
	for _, word := range inside {
		if strings.Contains(lower, word) && !strings.Contains(sent, word) {
			fault("tells of the inside: %q", word)
		}
	}
	for where, text := range map[string]string{"log": w.log.String(), "audit": w.audited()} {
		for _, secret := range slices.Concat(w.secrets, slices.Collect(maps.Values(w.private()))) {
			if strings.Contains(text, secret) && !strings.Contains(sent, strings.ToLower(secret)) {
				fault("the %s holds a secret: %s\n%s", where, secret, text)
			}
		}
	}
	for _, crossed := range w.backend.faults {
		fault("reached the backend: %s", crossed)
	}
}

// private is what the first user and their clients know and nobody writes down.
func (w *world) private() map[string]string {
	private := map[string]string{}
	for _, name := range []string{"websecret", "manage", "code", "access", "refresh", "form", "state", "pushed", "visit", "due", "octoaccess", "octodue"} {
		private[name] = w.names[name]
	}
	return private
}

// entitled tells whether who sent this gets this secret: a resource server the
// upstream's access token, and a proxy what the MCP server is to get.
func (w *world) entitled(sent, secret string) bool {
	proven := strings.Contains(sent, apiSecret) || strings.Contains(sent, edgeSecret)
	return proven && (strings.HasPrefix(secret, "upstream-access-") || secret == injectedSecret)
}

func checkHeaders(rec *httptest.ResponseRecorder, fault func(string, ...any)) {
	h := rec.Header()
	if h.Get("Access-Control-Allow-Credentials") != "" || h.Get("Access-Control-Allow-Origin") != "" && h.Get("Access-Control-Allow-Origin") != "*" {
		fault("CORS with credentials, or for one origin")
	}
	for _, cookie := range h["Set-Cookie"] {
		if !strings.HasPrefix(cookie, "__Host-sp_") || !strings.Contains(cookie, "; Path=/") || !strings.Contains(cookie, "; HttpOnly") ||
			!strings.Contains(cookie, "; Secure") || !strings.Contains(cookie, "; SameSite=Lax") || strings.Contains(cookie, "Domain=") {
			fault("cookie %s", cookie)
		}
	}
	if strings.HasPrefix(h.Get("Content-Type"), "text/html") {
		if !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") || !strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") ||
			h.Get("X-Frame-Options") != "DENY" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("Access-Control-Allow-Origin") != "" {
			fault("a page without its headers")
		}
	}
	document := strings.HasPrefix(h.Get("Cache-Control"), "public") && rec.Code == http.StatusOK && len(h["Set-Cookie"]) == 0
	if h.Get("Mcp-From-Backend") == "" && !document && rec.Code != http.StatusNoContent && rec.Code != http.StatusOK && h.Get("Cache-Control") != "no-store" ||
		strings.Contains(rec.Body.String(), "_token\"") && h.Get("Cache-Control") != "no-store" && !document {
		fault("may be kept: %q", h.Get("Cache-Control"))
	}
	if challenge := h.Get("Www-Authenticate"); challenge != "" && !wellFormed.MatchString(challenge) {
		fault("challenge %s", challenge)
	}
}

var wellFormed = regexp.MustCompile(`^(Bearer|Basic) [a-z_]+="[\x20\x21\x23-\x5b\x5d-\x7e]*"(, [a-z_]+="[\x20\x21\x23-\x5b\x5d-\x7e]*")*$`)

// checkJSON holds a JSON answer to its syntax, and an error to RFC 6749 §5.2.
func checkJSON(rec *httptest.ResponseRecorder, fault func(string, ...any)) {
	var m map[string]any
	if err := json.Unmarshal(rec.Body.Bytes(), &m); err != nil {
		fault("no JSON object: %v", err)
		return
	}
	if rec.Code < 400 {
		return
	}
	if strings.ContainsFunc(rec.Body.String(), func(c rune) bool { return c > 0x7e || c < ' ' && c != '\n' }) {
		fault("an error beyond ASCII")
	}
	if data, ok := m["error"].(map[string]any); ok { // JSON-RPC's
		m, _ = data["data"].(map[string]any)
	}
	code, _ := m["error"].(string)
	description, _ := m["error_description"].(string)
	if code == "" || strings.ContainsAny(code+description, "\"\\") {
		fault("an error without a code, or with characters that RFC 6749 §5.2 has not")
	}
}

// destinations are all that anybody may be sent to: callbacks that are
// registered, the upstream's login, and pages of ours.
var destinations = []string{
	coretest.ClientCallback, "https://claude.ai/api/mcp/auth_callback", upstreamLogin,
	musicURL + "/callback", musicURL + "/connections", octoURL + "/connections",
}

var portOf = regexp.MustCompile(`^http://127\.0\.0\.1(:[0-9]*)?/`)

// unstyled is a page without its style sheet, which is the same for everybody.
func unstyled(page string) string {
	before, rest, _ := strings.Cut(page, "<style>")
	_, after, _ := strings.Cut(rest, "</style>")
	return before + after
}

// links reads a page as a browser does and returns where it leads. What runs
// code is a fault.
func links(page string, fault func(string, ...any)) (all []string) {
	tokens := html.NewTokenizer(strings.NewReader(unstyled(page)))
	for tokens.Next() != html.ErrorToken {
		token := tokens.Token()
		if token.Type != html.StartTagToken && token.Type != html.SelfClosingTagToken {
			continue
		}
		if token.Data == "script" || token.Data == "iframe" || token.Data == "object" || token.Data == "embed" || token.Data == "base" {
			fault("a page with <%s>", token.Data)
		}
		for _, attr := range token.Attr {
			switch at := strings.Index(strings.ToLower(attr.Val), "url="); {
			case strings.HasPrefix(attr.Key, "on"):
				fault("a page with %s", attr.Key)
			case slices.Contains([]string{"href", "action", "src", "formaction", "xlink:href", "srcset", "ping"}, attr.Key):
				all = append(all, attr.Val)
			case attr.Key == "content" && at >= 0:
				all = append(all, attr.Val[at+len("url="):])
			}
		}
	}
	return all
}

func checkRedirects(rec *httptest.ResponseRecorder, fault func(string, ...any)) {
	var all []string
	if to := rec.Header().Get("Location"); to != "" || rec.Code/100 == 3 {
		all = append(all, to)
	}
	if strings.HasPrefix(rec.Header().Get("Content-Type"), "text/html") {
		all = append(all, links(rec.Body.String(), fault)...)
	}
	for _, to := range all {
		base, _, _ := strings.Cut(to, "?")
		base = portOf.ReplaceAllString(base, "http://127.0.0.1:7777/")    // only the port of loopback floats
		ours := base == musicURL+"/consent" || base == octoURL+"/consent" // forms
		if !ours && !slices.Contains(destinations, base) {
			fault("leads to %s", to)
		}
	}
}

// checkAuthorization holds what leads a login onward to more: whatever goes back
// to a client says whose answer it is (RFC 9207), no code comes without a login,
// and a shared callback leads to the tenant's own with what it was asked.
func (w *world) checkAuthorization(a arrival, rec *httptest.ResponseRecorder, fault func(string, ...any)) {
	to := rec.Header().Get("Location")
	u, err := url.Parse(to)
	if err != nil {
		fault("leads to no URL: %s", to)
		return
	}
	switch q, host := u.Query(), u.Hostname(); {
	case to == "":
	case a.host+a.path == strings.TrimPrefix(sharedURL, "https://"):
		if asked := strings.NewReplacer(w.replacements()...).Replace(a.query); to != musicURL+"/callback?"+asked || len(rec.Header()["Set-Cookie"]) > 0 {
			fault("the shared callback leads to %s", to)
		}
	case host == "127.0.0.1" || host == "claude.ai":
		if iss := q["iss"]; len(iss) != 1 || iss[0] != musicURL && iss[0] != octoURL || q.Has("code") == q.Has("error") {
			fault("an authorization response with %v", q)
		}
		if strings.HasSuffix(a.path, "/authorize") && q.Has("code") {
			fault("a code that nobody consented to")
		}
	}
}

// hearing is a test that only takes note of its errors.
type hearing struct {
	testing.TB
	faults []string
}

func (h *hearing) Helper() {}

func (h *hearing) Errorf(format string, args ...any) {
	h.faults = append(h.faults, fmt.Sprintf(format, args...))
}

// What finds nothing in good answers has to find each fault in bad ones.
func TestAnswersAreHeldToWhatHoldsOfAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	page := func(body string) func(*httptest.ResponseRecorder) {
		return func(r *httptest.ResponseRecorder) {
			r.Body.Reset()
			r.Body.WriteString("<!DOCTYPE html><style>x</style>" + body)
		}
	}
	head := func(name, value string) func(*httptest.ResponseRecorder) {
		return func(r *httptest.ResponseRecorder) { r.Header().Set(name, value) }
	}
	consent := arrival{"GET", "mcp.example", "/music/authorize", goodAuthorize, cookies, ""}
	refused := arrival{"POST", "mcp.example", "/music/token", "", asForm, "grant_type=x"}
	for what, c := range map[string]struct {
		ask    arrival
		change func(*httptest.ResponseRecorder)
		want   string // empty: nothing is wrong
	}{
		"a page":                     {consent, func(*httptest.ResponseRecorder) {}, ""},
		"a refusal":                  {refused, func(*httptest.ResponseRecorder) {}, ""},
		"500":                        {refused, func(r *httptest.ResponseRecorder) { r.Code = 500 }, "status 500"},
		"503 that nobody caused":     {refused, func(r *httptest.ResponseRecorder) { r.Code = 503; r.Header().Set("Retry-After", "5") }, "status 503"},
		"no nosniff":                 {refused, func(r *httptest.ResponseRecorder) { r.Header().Del("X-Content-Type-Options") }, "nosniff"},
		"credentials":                {refused, head("Access-Control-Allow-Credentials", "true"), "CORS"},
		"a cookie for scripts":       {consent, head("Set-Cookie", "__Host-sp_form=x; Path=/; Secure; SameSite=Lax"), "cookie"},
		"a cookie for others":        {consent, head("Set-Cookie", "__Host-sp_form=x; Path=/; HttpOnly; Secure; SameSite=None"), "cookie"},
		"a page in a frame":          {consent, head("X-Frame-Options", ""), "without its headers"},
		"a page readable by scripts": {consent, head("Access-Control-Allow-Origin", "*"), "without its headers"},
		"a refusal that is kept":     {refused, head("Cache-Control", ""), "may be kept"},
		"half a challenge":           {refused, head("Www-Authenticate", `Bearer error="a"b"`), "challenge"},
		"no JSON":                    {refused, page(`{"error":"x"`), "no JSON"},
		"an error beyond ASCII": {refused, func(r *httptest.ResponseRecorder) {
			r.Body.Reset()
			r.Body.WriteString(`{"error":"x","error_description":"é"}`)
		}, "beyond ASCII"},
		"an error with a quote": {refused, func(r *httptest.ResponseRecorder) {
			r.Body.Reset()
			r.Body.WriteString(`{"error":"x","error_description":"\""}`)
		}, "RFC 6749"},
		"a script":                   {consent, page(`<script>1</script>`), "<script>"},
		"a handler":                  {consent, page(`<img alt=x onerror=alert(1)>`), "onerror"},
		"a link elsewhere":           {consent, page(`<a href='https://evil.example'>`), "leads to https://evil.example"},
		"a page that leads away":     {consent, page(`<meta http-equiv=refresh content="0; URL=https://evil.example">`), "leads to https://evil.example"},
		"a redirect elsewhere":       {refused, head("Location", "http://127.0.0.1:7777@evil.example/callback"), "leads to"},
		"a code without a login":     {consent, head("Location", coretest.ClientCallback+"?code=x&iss="+musicURL), "nobody consented"},
		"an answer without iss":      {refused, head("Location", coretest.ClientCallback+"?code=x"), "authorization response"},
		"a redirect to nowhere":      {refused, func(r *httptest.ResponseRecorder) { r.Code = 302 }, "leads to"},
		"the server's key":           {refused, head("X", w.secrets[0]), "holds a secret"},
		"another user's token":       {refused, head("X", "a"+w.secrets[len(w.secrets)-8]), "holds a secret"},
		"an upstream token, escaped": {consent, page(`%75pstream-access-ada-0`), "holds a secret"},
		"a type of Go":               {refused, head("X", "x: *url.Error"), "inside"},
		"a store's key":              {refused, head("X", "no grant/music/x"), "inside"},
		"an engine's words":          {consent, page("<p>" + canary), "inside"},
		"a secret in the log":        {refused, func(*httptest.ResponseRecorder) { w.log.WriteString(w.names["access"]) }, "the log holds"},
		"a secret in the audit log":  {refused, func(*httptest.ResponseRecorder) { w.audit.WriteString("upstream-refresh-bob-0") }, "the audit holds"},
		"what must not cross":        {refused, func(*httptest.ResponseRecorder) { w.backend.faults = []string{"x"} }, "reached the backend"},
	} {
		rec, sent := w.answer(t, c.ask)
		c.change(rec)
		heard := &hearing{TB: t}
		w.checkAnswer(heard, c.ask, rec, sent)
		if got := strings.Join(heard.faults, "\n"); c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: found %q, want %q", what, got, c.want)
		}
	}
}

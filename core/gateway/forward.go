package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/sallyport/sallyport/core/credential"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/oauth"
)

// newForwarder returns the streaming reverse proxy. One serves all tenants:
// where a request goes and what it carries come from its call.
func (g *Gateway) newForwarder(transport http.RoundTripper) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite:        g.rewrite,
		Transport:      transport,
		FlushInterval:  0, // every event at once, as of any answer without an announced end; others in one piece
		ModifyResponse: g.modifyResponse,
		BufferPool:     &buffers{},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() != nil {
				panic(http.ErrAbortHandler) // the client went away; to return would be a 200 to whoever still listens
			}
			switch {
			case errors.Is(err, errReplace):
			case errors.Is(err, errRefuses):
				c := callFrom(r.Context())
				g.gate.audit.Refuse(r.Context(), r.RemoteAddr, c.rejected(c.tenant, "backend"))
				err = &oauth.Error{
					Code: oauth.ServerError, Status: http.StatusBadGateway, Cause: err,
					Description: "the MCP server behind this gateway refuses the upstream service's token; its operator has to mend it",
				}
			default:
				err = &oauth.Error{
					Code: oauth.TemporarilyUnavailable, Status: http.StatusBadGateway, Cause: err,
					Description: "the MCP server behind this gateway does not answer",
				}
			}
			g.refuse(w, callFrom(r.Context()), err)
		},
		ErrorLog: g.log.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Warn}),
	}
}

// buffers lends what answers are copied through. One stays with each stream as
// long as that is open, so they are small.
type buffers struct{ pool sync.Pool }

type buffer [8 << 10]byte

// Get implements httputil.BufferPool.
func (b *buffers) Get() []byte {
	if kept, ok := b.pool.Get().(*buffer); ok {
		return kept[:]
	}
	return new(buffer)[:]
}

// Put implements httputil.BufferPool.
func (b *buffers) Put(p []byte) { b.pool.Put((*buffer)(p)) }

// rewrite makes the backend's request out of the client's.
func (g *Gateway) rewrite(p *httputil.ProxyRequest) {
	c := callFrom(p.In.Context())
	p.Out.URL.Scheme, p.Out.URL.Host = c.to.Scheme, c.to.Host
	p.Out.URL.Path, p.Out.URL.RawPath = c.to.Path, c.to.RawPath
	p.Out.Host = c.to.Host
	p.Out.Trailer = nil        // what a client says there would pass after every check
	p.Out.Header.Del("Expect") // the answer to it was ours (RFC 9110 §10.1.1)
	g.gate.strip(p.Out.Header, c.tenant)
	maps.Copy(p.Out.Header, c.vouched)
	if !c.tenant.SessionsUnbound {
		delete(p.Out.Header, sessionHeader)
		if c.session.id != "" {
			p.Out.Header.Set(sessionHeader, c.session.id)
		}
	}
	p.Out.URL.RawQuery = encodeQuery(p.Out.URL.RawQuery)
	p.SetXForwarded() // RemoteAddr is the sender's, whatever proxies stand before us: see package remote
	origin, _ := oauth.SplitOrigin(c.tenant.Issuer)
	_, host, _ := strings.Cut(origin, "://")
	p.Out.Header.Set("X-Forwarded-Host", host) // as the operator wrote it, and not as the client did
	if c.tenant.Secure() {
		p.Out.Header.Set("X-Forwarded-Proto", "https") // also when TLS ends at a proxy
	}
}

// encodeQuery writes a query so that it can stand in a request line (RFC 9112
// §3.2): HTTP/2 frames a path and takes a space in it, with which the line of the
// backend's request would have a part more.
func encodeQuery(query string) string {
	plain := func(c byte) bool { return c > ' ' && c < 0x7f && c != '#' }
	if !strings.ContainsFunc(query, func(r rune) bool { return r >= 0x7f || !plain(byte(r)) }) {
		return query
	}
	var b strings.Builder
	for i := range len(query) {
		if plain(query[i]) {
			b.WriteByte(query[i])
		} else {
			fmt.Fprintf(&b, "%%%02X", query[i])
		}
	}
	return b.String()
}

// modifyResponse keeps the backend from speaking for the gateway.
func (g *Gateway) modifyResponse(res *http.Response) error {
	c := callFrom(res.Request.Context())
	location, wanted := res.Header.Get("Location"), oauth.ChallengedScopes(res.Header["Www-Authenticate"])
	g.relay(res, c.tenant)
	if !c.tenant.SessionsUnbound {
		g.sessions.issue(res.Header, c, func(what string) { g.relayed.warn(c.tenant, what) })
	}
	switch res.StatusCode {
	case http.StatusSwitchingProtocols:
		return nil // httputil refuses what no client asked for, and the refusal names the message
	case http.StatusUnauthorized:
		g.challenge(res, c)
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		// Its address is not the client's to know, and would lead around the gate.
		return fmt.Errorf("gateway: %s redirects to %s; that may be the right backend", c.to, withoutQuery(location))
	default:
		if res.StatusCode == http.StatusForbidden {
			stepUp(res, c, wanted)
		}
		g.watch(res, c)
		g.track(res, c)
	}
	c.giveUp() // it is not sent again; a stream would hold it as long as it is open
	return nil
}

// withoutQuery returns a URL for the log. A backend may put tokens into the query of
// one that it redirects to.
func withoutQuery(location string) string {
	const most = 200 // bytes
	at, _, _ := strings.Cut(location, "?")
	at, _, _ = strings.Cut(at, "#")
	if u, err := url.Parse(at); err != nil || u.User != nil || len(at) > most {
		return "an address that is not shown"
	}
	return at
}

// challenge answers for a backend that wants another token. Its own challenge
// would lead clients astray. A user's upstream token is dead and could not be
// replaced: log in again. Without a user the backend wants one for more than
// the tenant's policy says.
func (g *Gateway) challenge(res *http.Response, c *call) {
	no := &refusal{}
	if !c.anonymous() {
		no.fault = oauth.Errorf(oauth.InvalidToken, "the connection to the upstream service has ended; log in again")
		g.gate.audit.Refuse(res.Request.Context(), c.in.RemoteAddr, c.rejected(c.tenant, "backend"))
	}
	rec := &answer{header: http.Header{}}
	no.write(rec, c.tenant, c.backend, nil)
	_ = res.Body.Close()
	res.Header, res.Body, res.ContentLength = rec.header, io.NopCloser(&rec.body), int64(rec.body.Len())
}

// stepUp tells the client which scopes would be enough, where the backend said
// so in a challenge of its own and the tenant offers one that was not granted
// (RFC 6750 §3.1; MCP 2025-11-25, Scope Challenge Handling).
func stepUp(res *http.Response, c *call, wanted []string) {
	var granted []string
	if !c.anonymous() {
		granted = c.live.Record.Scopes
	}
	// What the client has is named too: it must not lose it by asking for this.
	all := granted
	for _, scope := range oauth.Intersect(wanted, c.tenant.Offered()) {
		if !slices.Contains(all, scope) {
			all = append(slices.Clip(all), scope)
		}
	}
	if len(all) == len(granted) {
		return
	}
	challenge := oauth.Challenge{ResourceMetadata: c.tenant.ResourceMetadata(c.backend), Scopes: all}
	challenge.Set(res.Header, oauth.Errorf(oauth.InsufficientScope, "this needs more scope than was granted"))
}

// answer collects what challenge writes.
type answer struct {
	header http.Header
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(int)             {}
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }

// retrier sends a call once more, with a renewed upstream token, when the
// backend answers 401: upstreams end tokens before their time.
type retrier struct {
	next http.RoundTripper
	gate *gate
}

// errReplace says that the upstream token could not be replaced now. The login
// is still good, so the answer is no challenge.
var errReplace = errors.New("gateway: replacing a rejected upstream token")

// errRefuses says that the backend refuses a token that the upstream has just
// issued, and its renewal: logging in again would not help.
var errRefuses = errors.New("gateway: the backend answers 401 to a token that the upstream issued a moment ago; " +
	"check which issuer, audience, scopes and header the backend expects, and the tenant's inject and scopes")

func (rt *retrier) RoundTrip(r *http.Request) (*http.Response, error) {
	c := callFrom(r.Context())
	r = r.WithContext(untraced{r.Context()})
	res, err := rt.next.RoundTrip(r)
	if err != nil || res.StatusCode != http.StatusUnauthorized || c.anonymous() {
		return res, err
	}
	fresh := rt.gate.keeper.JustObtained(c.live)
	cred, err := rt.gate.keeper.Replace(r.Context(), c.tenant, c.live)
	switch {
	case errors.Is(err, credential.ErrNeedsLogin), grant.ReasonOf(err) != "":
		return res, nil // the backend's 401 is the answer then, see modifyResponse
	case err == nil && !c.whole:
		return res, nil // the body cannot be sent twice; the client's next try has the renewed token
	}
	_ = res.Body.Close()
	switch {
	case errors.Is(err, credential.ErrRejectedAgain):
		return nil, fmt.Errorf("%w: %s", errRefuses, c.to)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errReplace, err)
	}
	c.cred = cred
	if err := c.vouch(rt.gate); err != nil {
		return nil, err
	}
	again := r.Clone(r.Context())
	maps.Copy(again.Header, c.vouched)
	if err := c.rewind(again); err != nil {
		return nil, err
	}
	res, err = rt.next.RoundTrip(again)
	if err == nil && res.StatusCode == http.StatusUnauthorized && fresh {
		_ = res.Body.Close()
		return nil, fmt.Errorf("%w: %s", errRefuses, c.to)
	}
	return res, err
}

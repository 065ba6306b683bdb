package gateway

import (
	"net/http"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/resourceserver"
	"github.com/sallyport/sallyport/core/tenant"
)

// ForwardAuth tells a proxy (nginx auth_request, Traefik and Caddy forward auth,
// Envoy ext_authz over HTTP) whether to pass a request on to an MCP server that
// is not behind the gateway: 200, with the headers that the server is to get, or
// what the client is to be answered.
//
// The 200 holds the user's upstream token, which no client may read. So this is
// on the operator's listener, and the proxy has to prove that it is one of the
// tenant's resource servers all the same, for whom the token endpoint does the
// same by token exchange. It does so in Proxy-Authorization: Authorization is
// the client's, and this one is for the next hop only (RFC 9110 §11.7.2).
func (g *Gateway) ForwardAuth(w http.ResponseWriter, r *http.Request, t *tenant.Tenant) error {
	if t.HasGateway() {
		return oauth.NotFound("this tenant's MCP server is behind the gateway; forward auth is for one with a resource elsewhere")
	}
	if err := g.checkProxy(r, t); err != nil {
		// Not 401: a client whose proxy is set up wrongly must not throw its
		// token away.
		w.Header().Set("Proxy-Authenticate", `Basic realm="forward-auth"`)
		return &oauth.Error{
			Code: oauth.InvalidClient, Status: http.StatusProxyAuthRequired, Cause: err,
			Description: "this is for proxies that prove to be one of the tenant's resource servers by Proxy-Authorization",
		}
	}
	said, err := g.ask(r, t)
	if err != nil {
		no := refuse(err)
		no.withRequest(middleware.GetReqID(r.Context()))
		if no.fault != nil && no.fault.StatusCode() >= http.StatusInternalServerError {
			g.log.Error("forward auth failed", "tenant", t.Name, "status", no.fault.StatusCode(), "error", err,
				"request", middleware.GetReqID(r.Context()))
		}
		no.write(w, t, "", nil)
		return nil
	}
	for _, h := range g.gate.headers(t) {
		// Those without a value too: a proxy that copies headers then replaces
		// what a client has sent under the name.
		w.Header().Set(h.Name, said.Get(h.Name))
	}
	w.Header().Set("Cache-Control", "no-store")
	return nil
}

// checkProxy authenticates the proxy, as the token endpoint would.
func (g *Gateway) checkProxy(r *http.Request, t *tenant.Tenant) error {
	proxy := &http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
	_, err := resourceserver.Authenticate(t, proxy, oauth.Params{})
	if err != nil {
		g.gate.audit.Refuse(r.Context(), r.RemoteAddr, audit.Event{Action: audit.Rejected, Tenant: t.Name, Reason: "forward_auth"})
	}
	return err
}

// ask puts the request that the proxy is about through the gate.
func (g *Gateway) ask(r *http.Request, t *tenant.Tenant) (http.Header, error) {
	if err := g.gate.aliased(r.Header, t); err != nil {
		g.gate.record(r.Context(), t, nil, r.RemoteAddr, err)
		return nil, err
	}
	p, err := g.gate.decide(r.Context(), t, facts{
		authorization: r.Header["Authorization"], origin: r.Header["Origin"], query: askedQuery(r), sender: r.RemoteAddr, handOut: true,
		messages: func(string) ([]message, error) { return announced(r, t), nil },
	})
	if err != nil {
		return nil, err
	}
	origin, _ := oauth.SplitOrigin(t.External)
	return g.gate.vouch(t, p, origin)
}

// aliased refuses a request with a header that the server could take for one of
// ours, or for one that is checked here under its own name: Mcp_Method would be the
// server's Mcp-Method. The proxy puts ours in the place of headers with the very same
// name; what else the client sent reaches the server, where the gateway does not
// filter it.
func (g *gate) aliased(h http.Header, t *tenant.Tenant) *refusal {
	inject := g.headers(t)
	for name := range h {
		replaced := slices.ContainsFunc(inject, func(i tenant.Header) bool { return strings.EqualFold(i.Name, name) })
		if !replaced && (fills(inject, name) || tenant.HeaderBegins(name, "X-Sallyport-") || !tenant.CanCross(name) && (ours(name) || tenant.Reserved(name))) {
			return &refusal{reason: "header", fault: oauth.Errorf(oauth.InvalidRequest,
				"a header of this request can be taken for one that is checked, or that only the authorization server sets; send header names of letters, digits and hyphens only, and none that begins with X-Sallyport-")}
		}
	}
	return nil
}

// askedQuery is the query of the request that the proxy is about: the URL's own
// where the proxy asks below its path, or what the proxy says it was. Either can
// only make the gate refuse more; nothing else a proxy says of the request is
// looked at, and the tenant is the one whose address was asked.
func askedQuery(r *http.Request) string {
	query := r.URL.RawQuery
	for _, name := range []string{"X-Forwarded-Uri", "X-Original-Uri"} {
		for _, uri := range r.Header[name] {
			if _, asked, ok := strings.Cut(uri, "?"); ok {
				query += "&" + asked
			}
		}
	}
	return query
}

// announcing is the first MCP revision in which clients repeat in headers what
// is in the body, and servers refuse a request where the two differ. Revisions
// are dates and compare as strings.
const announcing = "2026-07-28"

// repeats reports whether the tenant's MCP server refuses a request whose headers
// and body differ: the operator says that it speaks a revision which requires
// that, and the request names one of those. What the request says alone counts for
// nothing, and neither does a revision that is not known here.
func repeats(version []string, t *tenant.Tenant) bool {
	return t.Revision >= announcing && len(version) == 1 && version[0] == announcing
}

// isPost reports whether the request that the proxy is about may be a message: a
// server that also speaks an older revision would open a stream by GET, whatever
// the headers say. Proxies that ask below the path (Envoy) ask with the method, and
// others put it into a header; what a client writes there can only make the gate
// refuse more. Where nothing says the method it counts as POST.
func isPost(r *http.Request) bool {
	said := slices.Concat(r.Header["X-Forwarded-Method"], r.Header["X-Original-Method"])
	if chi.URLParam(r, "*") != "" && len(said) == 0 && len(r.Header["X-Original-Uri"]) == 0 {
		said = []string{r.Method}
	}
	return !slices.ContainsFunc(said, func(method string) bool { return method != http.MethodPost })
}

// announced is what a request says of itself in its headers, where it does: no
// proxy shows us a body. Of any other request we know nothing, and so it is one
// that may not come without a token and calls every tool there is a rule for.
func announced(r *http.Request, t *tenant.Tenant) []message {
	h := r.Header
	method, tool := h["Mcp-Method"], h["Mcp-Name"]
	if repeats(h["Mcp-Protocol-Version"], t) && isPost(r) && len(method) == 1 && (method[0] != toolsCall || len(tool) == 1) {
		m := message{method: method[0]}
		if m.method == toolsCall {
			m.tool = decodeValue(tool[0])
		}
		return []message{m}
	}
	var unknown []message
	for name := range t.Tools {
		unknown = append(unknown, message{method: toolsCall, tool: name})
	}
	return unknown
}

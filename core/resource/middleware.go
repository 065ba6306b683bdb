package resource

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/go-chi/cors"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/tenant"
)

// errNoToken is a request that needs a token and came without.
var errNoToken = errors.New("resource: no token")

// Middleware lets a request through to next with its user in the context (see
// FromContext) and the upstream token in place of ours in the Authorization
// header, so that next sees what a backend behind the gateway sees. Of the
// client's token nothing is left that next could hand on by mistake, and nothing
// that the client says passes for ours: headers whose names have other characters
// than letters, digits and '-' are left out, because programs that next may call
// (CGI, PHP, WSGI) read those characters as '_'.
//
// A request that is not let through is answered here: 401 with the challenge
// that leads clients to log in, 400 for one that sends its token in a wrong
// way, 503 with Retry-After when the issuer or the upstream does not answer,
// because a 401 would make clients throw good tokens away.
func (g *Gate) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, err := g.admit(r)
		if err != nil {
			g.refuse(w, r, err, g.issuer.offered(r.Context()))
			return
		}
		in := r.WithContext(context.WithValue(r.Context(), contextKey{}, user))
		in.Header = r.Header.Clone()
		for name := range in.Header {
			// What begins so is the gateway's to say, and here it is the client's.
			// Proxy would be HTTP_PROXY to a CGI program (CVE-2016-5385).
			if !tenant.CanCross(name) || tenant.HeaderBegins(name, "X-Sallyport-") || tenant.SameHeader(name, "Proxy") {
				delete(in.Header, name)
			}
		}
		in.Trailer = nil // what a client says there would come after every check
		if user != nil {
			upstream, err := user.UpstreamToken(r.Context())
			if err != nil {
				g.refuse(w, r, err, g.issuer.offered(r.Context()))
				return
			}
			in.Header.Set("Authorization", "Bearer "+upstream.Reveal())
		}
		next.ServeHTTP(w, in)
	})
}

// admit returns the request's user, or nil for one that may be without.
func (g *Gate) admit(r *http.Request) (*User, error) {
	token, err := oauth.Bearer(r.Header.Values("Authorization"), r.URL.RawQuery)
	switch {
	case err != nil:
		return nil, err
	case token != "":
		return g.Verify(r.Context(), token)
	case g.cfg.Optional:
		return nil, nil
	}
	return nil, errNoToken
}

// RequireScopes lets a request through if its user granted all of the scopes,
// and tells the client otherwise which to ask for: 403 and insufficient_scope.
// It stands inside Middleware.
func (g *Gate) RequireScopes(scopes ...string) func(next http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			user := FromContext(r.Context())
			switch {
			case user == nil:
				g.refuse(w, r, errNoToken, scopes)
			case !user.Has(scopes...):
				// What it has and what it needs: a client that asks for just
				// what the challenge names must not lose the rest.
				all := slices.Clone(user.Scopes)
				for _, s := range scopes {
					if !slices.Contains(all, s) {
						all = append(all, s)
					}
				}
				g.refuse(w, r, oauth.Errorf(oauth.InsufficientScope, "this needs more scope than was granted"), all)
			default:
				next.ServeHTTP(w, r)
			}
		})
	}
}

// refuse answers err. What is not the client's fault is no challenge.
func (g *Gate) refuse(w http.ResponseWriter, r *http.Request, err error, scopes []string) {
	challenge := oauth.Challenge{ResourceMetadata: g.MetadataURL(), Scopes: scopes}
	if errors.Is(err, errNoToken) || errors.Is(err, oauth.ErrNoBearer) {
		challenge.Write(w, nil)
		return
	}
	if fault := oauth.AsError(err); fault.StatusCode() >= http.StatusInternalServerError {
		g.cfg.Log.Warn("no answer about a token", "issuer", g.cfg.Issuer, "error", err)
		oauth.WriteError(w, r, fault)
		return
	}
	challenge.Write(w, err)
}

// offered is what clients may ask for, or nothing while the issuer does not
// say.
func (i *issuer) offered(ctx context.Context) []string {
	m, err := i.discover(ctx)
	if err != nil {
		return nil
	}
	return m.Scopes
}

// MetadataURL is where clients look for the protected resource metadata:
// Metadata has to be mounted at its path (RFC 9728 §3.1).
func (g *Gate) MetadataURL() string { return oauth.WellKnown(oauth.ResourceDocument, g.cfg.Resource) }

// MetadataPath is the path of MetadataURL.
func (g *Gate) MetadataPath() string {
	_, path := oauth.SplitOrigin(g.MetadataURL())
	return path
}

// Metadata answers with the protected resource metadata, which leads a client
// from this server's URL to the issuer (RFC 9728 §3.2). Scripts of any origin
// may read it.
func (g *Gate) Metadata() http.Handler {
	return cors.Handler(cors.Options{
		AllowedOrigins: []string{"*"}, AllowedMethods: []string{http.MethodGet},
		AllowedHeaders: []string{"Accept", "Content-Type", "Mcp-Protocol-Version"}, MaxAge: 3600,
	})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			w.Header().Set("Allow", http.MethodGet)
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		err := oauth.WriteDocument(w, oauth.NewResourceMetadata(
			g.cfg.Resource, g.cfg.Name, g.cfg.Issuer, g.issuer.offered(r.Context())))
		if err != nil {
			oauth.WriteError(w, r, err)
		}
	}))
}

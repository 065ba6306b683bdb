package tenant

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// Set finds tenants. It is immutable: a reload builds a new one. A lookup
// costs one map access per path segment, whatever the number of tenants.
type Set struct {
	byName map[string]*Tenant
	byURL  map[string]*Tenant            // host ‖ path of the issuer
	depth  int                           // most path segments an issuer has
	shared map[string]map[string]*Tenant // host ‖ path of a shared callback, then by name
}

// NewSet checks the tenants and returns them as a Set, or every fault found.
func NewSet(tenants ...*Tenant) (*Set, error) {
	s := &Set{byName: map[string]*Tenant{}, byURL: map[string]*Tenant{}, shared: map[string]map[string]*Tenant{}}
	var faults []error
	for _, t := range tenants {
		if err := t.validate(); err != nil {
			faults = append(faults, err)
			continue
		}
		u, _ := url.Parse(t.Issuer) // validated above
		key := bareHost(u.Host) + u.Path
		if other := s.byURL[key]; other != nil {
			faults = append(faults, fmt.Errorf("tenants %s and %s have the same URL %s", other.Name, t.Name, t.Issuer))
		}
		if s.byName[t.Name] != nil {
			faults = append(faults, fmt.Errorf("two tenants are named %s", t.Name))
		}
		s.byName[t.Name], s.byURL[key] = t, t
		s.depth = max(s.depth, strings.Count(u.Path, "/"))
	}
	for _, t := range tenants {
		if err := s.hides(t); err != nil {
			faults = append(faults, err)
		}
		if err := s.share(t); err != nil {
			faults = append(faults, err)
		}
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return s, nil
}

// RouteSegments returns the first segments of the paths that every tenant answers
// below its URL.
func RouteSegments() []string {
	return []string{".well-known", "authorize", "callback", "connections", "consent", "introspect", "mcp", "par", "register", "revoke", "token"}
}

// hides reports a tenant whose URL is one of another tenant's endpoints: the
// longest path wins, so that endpoint would not be reached.
func (s *Set) hides(t *Tenant) error {
	u, _ := url.Parse(t.Issuer)
	if u == nil {
		return nil // told above
	}
	segments := strings.Split(u.Path, "/")
	for i, segment := range segments {
		if i == 0 || !slices.Contains(RouteSegments(), segment) {
			continue
		}
		if segment == ".well-known" { // RFC 8615 §3
			return fmt.Errorf("tenant %s: the URL %s has the segment .well-known, which is for metadata; choose another path", t.Name, t.Issuer)
		}
		if other := s.byURL[bareHost(u.Host)+strings.Join(segments[:i], "/")]; other != nil && other != t {
			return fmt.Errorf("tenant %s: the URL %s is an endpoint of tenant %s, which no client would reach any more; choose a path other than /%s below %s",
				t.Name, t.Issuer, other.Name, segment, other.Issuer)
		}
	}
	return nil
}

// share adds a tenant's shared callback, if it has one.
func (s *Set) share(t *Tenant) error {
	if t.SharedCallback == "" {
		return nil
	}
	u, err := url.Parse(t.SharedCallback)
	if err != nil || u.Host == "" || len(u.Path) < 2 || strings.ContainsAny(t.SharedCallback, "?#") {
		return fmt.Errorf("tenant %s: %q is no URL with a path that could be a shared callback", t.Name, t.SharedCallback)
	}
	if below, _, ok := s.Lookup(u.Host, u.Path); ok {
		// It would hide a path of that tenant.
		return fmt.Errorf("tenant %s: the shared callback %s is below tenant %s", t.Name, t.SharedCallback, below.Name)
	}
	key := bareHost(u.Host) + u.Path
	if s.shared[key] == nil {
		s.shared[key] = map[string]*Tenant{}
	}
	for _, name := range slices.Sorted(maps.Keys(s.shared[key])) {
		if other := s.shared[key][name]; !mayShare(t, other) {
			return fmt.Errorf("tenants %s and %s cannot share the callback %s: their upstreams differ (%s and %s), and a login at one could be brought to the other (RFC 9700 §4.4); "+
				"register each tenant's own callback, or have both providers demand iss (require_iss, RFC 9207) of issuers that differ",
				other.Name, t.Name, t.SharedCallback, upstreamOf(other), upstreamOf(t))
		}
	}
	s.shared[key][t.Name] = t
	return nil
}

// mayShare reports whether two tenants can have one redirect URI: a code that
// comes there is of one app, or iss says whose it is (RFC 9700 §4.4.2.1).
func mayShare(a, b *Tenant) bool {
	if a.Provider == nil || b.Provider == nil || a.UpstreamIdentity() == b.UpstreamIdentity() {
		return true // without a provider another fault is told
	}
	issA, issB := a.Provider.Describe().CallbackIssuer, b.Provider.Describe().CallbackIssuer
	return issA != "" && issB != "" && issA != issB
}

// upstreamOf names a tenant's upstream for the operator.
func upstreamOf(t *Tenant) string {
	d := t.Provider.Describe()
	return cmp.Or(d.Upstream, d.Name)
}

// Sharing returns the tenants, by name, that share the callback at host and
// path: nil, unless some do.
func (s *Set) Sharing(host, path string) map[string]*Tenant {
	if len(s.shared) == 0 {
		return nil // asked at every request, and mostly there is none
	}
	return s.shared[bareHost(strings.ToLower(host))+path]
}

// Len is the number of tenants.
func (s *Set) Len() int { return len(s.byName) }

// Names returns the names of all tenants, in order.
func (s *Set) Names() []string { return slices.Sorted(maps.Keys(s.byName)) }

// Get returns the tenant of that name, or nil.
func (s *Set) Get(name string) *Tenant { return s.byName[name] }

// Lookup finds the tenant that a request's Host header and URL path address,
// and the path that remains below the tenant: "/music/token" is "/token" of
// the tenant at /music, and "/.well-known/oauth-authorization-server/music",
// the form in which RFC 8414 §3.1 and RFC 9728 §3.1 put the issuer's path
// last, is "/.well-known/oauth-authorization-server" of the same. A well-known
// path below the tenant, which some clients ask for, reads alike.
func (s *Set) Lookup(host, path string) (t *Tenant, route string, ok bool) {
	host = bareHost(strings.ToLower(host))
	if rest, found := strings.CutPrefix(path, "/.well-known/"); found {
		name, below, _ := strings.Cut(rest, "/")
		if below != "" || strings.HasSuffix(rest, "/") {
			below = "/" + below
		}
		t, remainder := s.longest(host, below)
		return t, "/.well-known/" + name + remainder, t != nil
	}
	t, route = s.longest(host, path)
	return t, route, t != nil
}

// longest finds the tenant with the longest path that path starts with, by
// whole segments.
func (s *Set) longest(host, path string) (*Tenant, string) {
	end := 0
	for range s.depth { // the end of the depth-th segment
		next := strings.IndexByte(path[min(end+1, len(path)):], '/')
		if next < 0 {
			end = len(path)
			break
		}
		end += 1 + next
	}
	for ; end > 0; end = strings.LastIndexByte(path[:end], '/') {
		if t := s.byURL[host+path[:end]]; t != nil {
			return t, path[end:]
		}
	}
	return s.byURL[host], path
}

// bareHost drops a scheme's own port, which clients may or may not write.
func bareHost(host string) string {
	host = strings.TrimSuffix(host, ":443")
	return strings.TrimSuffix(host, ":80")
}

package oauth

import (
	"encoding/json"
	"net/http"
	"strings"
)

// The documents that WellKnown finds.
const (
	ServerDocument   = "oauth-authorization-server" // RFC 8414 §3
	ResourceDocument = "oauth-protected-resource"   // RFC 9728 §3
)

// WellKnown is the address of a document about an issuer (RFC 8414 §3.1) or a
// resource (RFC 9728 §3.1): the well-known part stands between host and path.
func WellKnown(document, identifier string) string {
	origin, path := SplitOrigin(identifier)
	return origin + "/.well-known/" + document + path
}

// SplitOrigin cuts an absolute URL behind its host. The path is empty or
// begins with a slash.
func SplitOrigin(absolute string) (origin, path string) {
	host := strings.Index(absolute, "://") + len("://")
	if slash := strings.IndexByte(absolute[host:], '/'); slash >= 0 {
		return absolute[:host+slash], absolute[host+slash:]
	}
	return absolute, ""
}

// ResourceMetadata is the document about a protected resource (RFC 9728 §2).
type ResourceMetadata struct {
	Resource             string   `json:"resource"`
	Name                 string   `json:"resource_name,omitempty"`
	AuthorizationServers []string `json:"authorization_servers"`
	BearerMethods        []string `json:"bearer_methods_supported"`
	Scopes               []string `json:"scopes_supported,omitempty"`
}

// NewResourceMetadata describes a resource that takes tokens of issuer, in the
// Authorization header only (OAuth 2.1 §5.2).
func NewResourceMetadata(resource, name, issuer string, scopes []string) ResourceMetadata {
	return ResourceMetadata{
		Resource: resource, Name: name, AuthorizationServers: []string{issuer},
		BearerMethods: []string{"header"}, Scopes: scopes,
	}
}

// WriteDocument sends a discovery document. It may be cached for a while: it
// changes with the configuration only.
func WriteDocument(w http.ResponseWriter, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return &Error{Code: ServerError, Cause: err}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "public, max-age=300")
	_, _ = w.Write(append(body, '\n'))
	return nil
}

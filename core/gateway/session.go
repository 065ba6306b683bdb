package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/tenant"
)

// sessionHeader names an MCP session (MCP 2025-11-25, Session Management).
const sessionHeader = "Mcp-Session-Id"

// maxSession is the length of the longest id of a backend, in bytes, that is
// bound: a longer one would be larger than what clients and proxies take.
const maxSession = 1 << 10

// sessions binds the ids of MCP sessions to whom they were issued: a client gets
// `<the backend's id>.<tag>`, and the tag is good for the tenant, the backend and
// the account alone (MCP security best practices, Session Hijacking).
type sessions struct {
	keys    *seal.Keyring
	claimed *store.Collection[claim]
}

// claim is the record mcp-session/<tenant>/<hash>: the account that has taken
// over a session which was begun without a token.
type claim struct {
	Account string `json:"account"` // hash
}

func newSessions(driver store.Driver, keys *seal.Keyring, cacheTTL time.Duration, now func() time.Time) *sessions {
	return &sessions{keys: keys, claimed: store.NewCollection[claim](driver, keys, "mcp-session").Remember(cacheTTL, now)}
}

// session is what a request says of its MCP session.
type session struct {
	presented string // as the client sent it
	id        string // the backend's; empty: there is none
}

// errSession refuses an id that was not issued to this caller. 404 makes clients
// begin a new session (MCP 2025-11-25, Session Management).
func errSession() *refusal {
	return &refusal{reason: "session", fault: &oauth.Error{
		Code: oauth.InvalidRequest, Status: http.StatusNotFound, Description: "this MCP session was not issued to this login; begin a new one",
	}}
}

// check returns the session of a call. warn is called with what the operator has
// to know.
func (s *sessions) check(ctx context.Context, c *call, warn func(string)) (session, error) {
	values := c.in.Header[sessionHeader]
	switch {
	case len(values) > 1:
		return session{}, oauth.Errorf(oauth.InvalidRequest, "the header %s is there more than once", sessionHeader)
	case len(values) == 0 || values[0] == "":
		return session{}, nil
	}
	presented := values[0]
	id, tag := splitSession(presented)
	account := c.account()
	switch {
	case s.keys.CheckTag(c.sessionPurpose(), sessionMessage(c.backend, account, id), tag):
		return session{presented, id}, s.unclaimed(ctx, c, id)
	case account != "" && s.keys.CheckTag(c.sessionPurpose(), sessionMessage(c.backend, "", id), tag):
		return session{presented, id}, s.claim(ctx, c, id, account)
	case len(presented) > maxSession:
		warn("an MCP session id of more than 1 KiB is not bound to its user; if the backend puts meaning into ids, session_binding: off says so")
		return session{presented, presented}, nil
	}
	return session{}, errSession()
}

// unclaimed refuses a session begun without a token, to a request without one,
// once a user has taken it over.
func (s *sessions) unclaimed(ctx context.Context, c *call, id string) error {
	if !c.anonymous() {
		return nil
	}
	_, err := s.claimed.Get(ctx, c.tenant.Name, claimID(c.backend, id))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil:
		return oauth.Unavailable(err)
	}
	return errSession()
}

// claim gives a session that was begun without a token to the first user that
// presents it.
func (s *sessions) claim(ctx context.Context, c *call, id, account string) error {
	at, mine := claimID(c.backend, id), claim{hashOf(c.tenant.Name, account)}
	held, err := s.claimed.Get(ctx, c.tenant.Name, at)
	if errors.Is(err, store.ErrNotFound) {
		err = s.claimed.Create(ctx, c.tenant.Name, at, mine, c.tenant.Lifetimes.Refresh)
		if err == nil {
			return nil
		}
		if errors.Is(err, store.ErrConflict) {
			var v *store.Version[claim]
			if v, err = s.claimed.Anew(ctx, c.tenant.Name, at); err == nil {
				held = v.Value
			}
		}
	}
	switch {
	case err != nil:
		return oauth.Unavailable(err)
	case held != mine:
		return errSession()
	}
	return nil
}

// issue puts into an answer's header the id that the client is to use for the
// session which the backend names there.
func (s *sessions) issue(h http.Header, c *call, warn func(string)) {
	values := h[sessionHeader]
	if len(values) == 0 {
		return
	}
	id := values[0]
	switch {
	case len(values) > 1 || id == "":
		warn("the backend's answer has an empty MCP session id, or several; it does not cross")
		delete(h, sessionHeader)
	case id == c.session.id: // in the client's own spelling, also of a session begun without a token
		h.Set(sessionHeader, c.session.presented)
	case len(id) > maxSession:
		warn("an MCP session id of more than 1 KiB is not bound to its user")
	default:
		tag := s.keys.Tag(c.sessionPurpose(), sessionMessage(c.backend, c.account(), id))
		h.Set(sessionHeader, id+"."+base64.RawURLEncoding.EncodeToString(tag))
	}
}

// splitSession returns the two parts of an id. Without a well-formed tag the
// second is nil.
func splitSession(presented string) (id string, tag []byte) {
	i := strings.LastIndexByte(presented, '.')
	if i <= 0 {
		return "", nil
	}
	tag, err := base64.RawURLEncoding.Strict().DecodeString(presented[i+1:])
	if err != nil || len(tag) != seal.TagSize {
		return "", nil
	}
	return presented[:i], tag
}

// sessionMessage is what a tag is made of, without ambiguity.
func sessionMessage(backend, account, id string) []byte {
	var b []byte
	for _, part := range []string{backend, account, id} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
	}
	return b
}

func claimID(backend, id string) string { return hashOf(backend, id) }

// hashOf is a hash of two values in characters that a key may have.
func hashOf(a, b string) string {
	sum := sha256.Sum256(sessionMessage(a, b, ""))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

func (c *call) sessionPurpose() seal.Purpose {
	return seal.Purpose{Use: "mcp-session", Tenant: c.tenant.Name}
}

// account names the account that the call is for, or nothing without a user.
func (c *call) account() string {
	if c.anonymous() {
		return ""
	}
	return c.tenant.Account(c.live.Record.Subject).Hash()
}

// bind checks the session of a call, and takes away what resumes a stream of a
// session that the call does not name.
func (g *Gateway) bind(c *call) (err error) {
	if c.tenant.SessionsUnbound {
		return nil
	}
	warn := func(what string) { g.relayed.warn(c.tenant, what) }
	if c.session, err = g.sessions.check(c.in.Context(), c, warn); err != nil {
		return err
	}
	if _, resumes := c.in.Header["Last-Event-Id"]; resumes && c.session.id == "" {
		warn("a Last-Event-ID without an MCP session does not reach the backend: the stream could be another user's; session_binding: off lets it through")
		delete(c.in.Header, "Last-Event-Id")
	}
	return nil
}

// warn logs a text once for each tenant.
func (r *relayed) warn(t *tenant.Tenant, what string) {
	if r.first(t.Name, what) {
		r.log.Warn(what, "tenant", t.Name)
	}
}

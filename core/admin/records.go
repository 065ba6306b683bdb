package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/client"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/tenant"
)

// blockedFor is how long a block lasts: ten years.
const blockedFor = 10 * 365 * 24 * time.Hour

// Records performs operations on the records of a store.
type Records struct {
	Store   *grant.Store
	Clients *client.Registry
	Audit   *audit.Log
	// Tenant returns the tenant of that name, or nil. Names returns the names of
	// all tenants.
	Tenant func(name string) *tenant.Tenant
	Names  func() []string
}

// For returns the operations as a process acts, which is audited.
func (r *Records) For(a Actor) Operations { return acting{r, a} }

// acting is the operations of one actor.
type acting struct {
	*Records
	actor Actor
}

var _ Operations = acting{}

func (r acting) tenant(name string) (*tenant.Tenant, error) {
	if t := r.Tenant(name); t != nil {
		return t, nil
	}
	return nil, &RequestError{fmt.Sprintf("unknown tenant %q; sallyport tenant list shows all", name)}
}

func (r acting) record(ctx context.Context, e audit.Event) {
	e.Operator = r.actor.String()
	r.Audit.Record(ctx, e)
}

// Grants implements Operations.
func (r acting) Grants(ctx context.Context, only GrantFilter, f func(Grant) error) (unreadable map[string]int, err error) {
	names := slices.Sorted(slices.Values(r.Names()))
	if only.Tenant != "" {
		if _, err := r.tenant(only.Tenant); err != nil {
			return nil, err
		}
		names = []string{only.Tenant}
	}
	r.record(ctx, audit.Event{Action: audit.GrantsListed, Tenant: only.Tenant, Subject: only.Account})
	unreadable = map[string]int{}
	for _, name := range names {
		t := r.Tenant(name)
		if t == nil { // removed since
			continue
		}
		n, err := r.Store.Each(ctx, t, func(e grant.Entry) error {
			if only.Account != "" && e.Subject != only.Account {
				return nil
			}
			return f(row(name, e))
		})
		if n > 0 {
			unreadable[name] = n
		}
		if err != nil {
			return unreadable, err
		}
	}
	return unreadable, nil
}

// stateRefused is the state of a grant whose record is there although its tokens
// are refused.
const stateRefused = "refused"

func row(tenantName string, e grant.Entry) Grant {
	var reason *LoginReason
	if r := e.LoginReason; r != nil {
		reason = &LoginReason{Kind: string(r.Kind), Detail: r.Detail, Since: r.Since.UTC()}
	}
	state := string(e.State)
	if e.Refused != "" {
		state = stateRefused
	}
	return Grant{
		Tenant: tenantName, ID: e.ID, State: state, Refused: string(e.Refused), Account: e.Subject, AccountName: e.AccountName,
		Client: e.ClientHash, ClientName: e.ClientName, RedirectURI: e.RedirectURI, Scopes: e.Scopes,
		Created: e.Created.UTC(), LastUsed: e.LastUsed.UTC(), Expires: e.Expires.UTC(),
		LoginReason: reason,
	}
}

// Revoke implements Operations.
func (r acting) Revoke(ctx context.Context, v Revocation) (Ended, error) {
	if _, err := r.tenant(v.Tenant); err != nil {
		return Ended{}, err
	}
	if (v.ID == "") == (v.Account == "") {
		return Ended{}, &RequestError{"name either one grant by its id, or an account"}
	}
	var ended []grant.Entry
	var err error
	if v.Account != "" {
		ended, err = r.Store.DeleteAccount(ctx, v.Tenant, v.Account)
	} else {
		var e grant.Entry
		if e, err = r.Store.Delete(ctx, v.Tenant, v.ID); err == nil {
			ended = []grant.Entry{e}
		} else if grant.ReasonOf(err) == grant.Gone {
			err = &RequestError{fmt.Sprintf("%s has no grant %q; sallyport grant list shows all", v.Tenant, v.ID)}
		}
	}
	r.ended(ctx, v.Tenant, ended)
	return Ended{len(ended)}, err
}

// ended writes an audit line for each grant that ended.
func (r acting) ended(ctx context.Context, tenantName string, all []grant.Entry) {
	for _, e := range all {
		r.record(ctx, audit.Event{
			Action: audit.Ended, Tenant: tenantName, Client: e.ClientHash, Subject: e.Subject, Upstream: e.Upstream, Grant: e.ID, Reason: "operator",
		})
	}
}

// Clients implements Operations.
func (r acting) Clients(ctx context.Context, tenantName string) ([]Client, error) {
	t, err := r.tenant(tenantName)
	if err != nil {
		return nil, err
	}
	r.record(ctx, audit.Event{Action: audit.ClientsListed, Tenant: tenantName})
	byHash := map[string]*Client{}
	find := func(hash string) *Client {
		c := byHash[hash]
		if c == nil {
			c = &Client{Tenant: tenantName, Client: hash}
			byHash[hash] = c
		}
		return c
	}
	if _, err := r.Store.Each(ctx, t, func(e grant.Entry) error {
		if e.Refused == grant.NotBefore || e.Refused == grant.Gone {
			return nil
		}
		c := find(e.ClientHash)
		c.Name = cmp.Or(c.Name, e.ClientName)
		c.Grants++
		if used := e.LastUsed.UTC(); c.LastUsed == nil || used.After(*c.LastUsed) {
			c.LastUsed = &used
		}
		return nil
	}); err != nil {
		return nil, err
	}
	if err := r.Records.Clients.EachBlocked(ctx, t, func(b client.Blocked) error {
		c, since := find(b.Hash), b.Since.UTC()
		c.Name, c.Blocked = cmp.Or(c.Name, b.Name), &since
		return nil
	}); err != nil {
		return nil, err
	}
	all := make([]Client, 0, len(byHash))
	for _, c := range byHash {
		all = append(all, *c)
	}
	slices.SortFunc(all, func(a, b Client) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Client, b.Client)) })
	return all, nil
}

// hashForm is what grant.HashClient returns.
var hashForm = regexp.MustCompile(`^[A-Za-z0-9_-]{22}$`)

// named is a client that an operator named: by an id, which is hashed, or by a
// hash.
type named struct{ hash, name string }

// find returns the client that ref names. An id counts if the registry can
// find it or a grant of it exists; a hash counts if a grant or a block of it
// exists. Everything else needs Force, because a block of an id that is
// misspelt would block nothing.
func (r acting) find(ctx context.Context, t *tenant.Tenant, ref ClientRef) (named, error) {
	id := ref.Client
	if id == "" {
		return named{}, &RequestError{"the client id is empty"}
	}
	c, err := r.Records.Clients.Identify(ctx, t, id)
	if err == nil {
		return named{grant.HashClient(id), c.Name}, nil
	}
	candidates := []string{grant.HashClient(id)}
	if hashForm.MatchString(id) {
		candidates = append(candidates, id)
	}
	for _, hash := range candidates {
		if name, known, err := r.seen(ctx, t, hash); known || err != nil {
			return named{hash, name}, err
		}
	}
	if !ref.Force {
		return named{}, &RequestError{fmt.Sprintf("%s knows no client %.100q (%v): give its client id, or the hash that sallyport client list, grant list --json and the audit log show; "+
			"--force takes it as it is", t.Name, id, why(err))}
	}
	return named{hash: candidates[len(candidates)-1]}, nil
}

// why is the reason that the registry gave.
func why(err error) string {
	if errors.Is(err, client.ErrUnknown) {
		return "no grant, no registration and no entry in the configuration has this id or hash"
	}
	return oauth.AsError(err).Description
}

// seen reports whether a grant or a block has the hash, and the client's name.
func (r acting) seen(ctx context.Context, t *tenant.Tenant, hash string) (name string, known bool, err error) {
	if b, err := r.Records.Clients.Blocked(ctx, t, hash); err != nil || b != nil {
		if err != nil {
			return "", false, err
		}
		return b.Name, true, nil
	}
	enough := errors.New("found")
	_, err = r.Store.Each(ctx, t, func(e grant.Entry) error {
		if e.ClientHash != hash {
			return nil
		}
		name, known = e.ClientName, true
		return enough
	})
	if errors.Is(err, enough) {
		err = nil
	}
	return name, known, err
}

// Block implements Operations. It writes the block before it ends the grants,
// so that no grant is made in between and stays.
func (r acting) Block(ctx context.Context, ref ClientRef) (b Blocked, err error) {
	t, err := r.tenant(ref.Tenant)
	if err != nil {
		return b, err
	}
	n, err := r.find(ctx, t, ref)
	if err != nil {
		return b, err
	}
	b = Blocked{Client: n.hash, Name: n.name}
	if b.Changed, err = r.Records.Clients.BlockHash(ctx, t, client.Blocked{Hash: n.hash, Name: n.name}, blockedFor); err != nil {
		return b, err
	}
	r.record(ctx, audit.Event{Action: audit.ClientBlocked, Tenant: t.Name, Client: n.hash})
	ended, err := r.Store.DeleteClientHash(ctx, t.Name, n.hash)
	r.ended(ctx, t.Name, ended)
	b.Grants = len(ended)
	return b, err
}

// Unblock implements Operations.
func (r acting) Unblock(ctx context.Context, ref ClientRef) (b Blocked, err error) {
	t, err := r.tenant(ref.Tenant)
	if err != nil {
		return b, err
	}
	hashes := []string{grant.HashClient(ref.Client)}
	if hashForm.MatchString(ref.Client) {
		hashes = append(hashes, ref.Client)
	}
	for _, hash := range hashes {
		was, err := r.Records.Clients.Blocked(ctx, t, hash)
		if err != nil {
			return b, err
		}
		if was == nil {
			continue
		}
		if err := r.Records.Clients.Unblock(ctx, t, hash); err != nil {
			return b, err
		}
		r.record(ctx, audit.Event{Action: audit.ClientUnblocked, Tenant: t.Name, Client: hash})
		return Blocked{Client: hash, Name: was.Name, Changed: true}, nil
	}
	return b, &RequestError{fmt.Sprintf("%s has not blocked %.100q; sallyport client list shows the blocked clients", t.Name, ref.Client)}
}

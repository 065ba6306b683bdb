package client

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/sallyport/sallyport/core/fetch"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/remote"
	"github.com/sallyport/sallyport/core/tenant"
)

// How long what was fetched counts (CIMD §6.2: honour the document's own
// cache headers, within bounds of ours).
const (
	minFresh     = 5 * time.Minute
	maxFresh     = 24 * time.Hour
	defaultFresh = time.Hour // without Cache-Control

	fetchTimeout = 5 * time.Second
	// retryAfter is what a client is told to wait when a fetch failed, and how
	// long an address stays unasked that was known to be good.
	retryAfter = time.Minute
)

// cache fetches what clients publish and keeps what was good. Tenants share
// it: a public document is the same for all of them. What was fetched because an
// operator named the host is kept for tenants where that is so, and for no
// others: theirs would be told what they cannot reach. Errors are never kept;
// limits bounds how often they can be had.
type cache[T any] struct {
	named   *fetch.Client // for hosts that the operator named
	strange *fetch.Client // for all others
	limits  *limits
	now     func() time.Time
	maxBody int64
	size    int
	what    string
	parse   func(id string, body []byte) (T, error)

	flight  singleflight.Group
	mu      sync.Mutex
	entries map[string]*list.Element // of *entry[T]
	order   *list.List               // last used first
}

type entry[T any] struct {
	id      string
	value   T
	fetched time.Time
	tried   time.Time // last attempt, good or not
	fresh   time.Time // until
}

func newCache[T any](what string, client *fetch.Client, l *limits, now func() time.Time, maxBody int64, size int, parse func(string, []byte) (T, error)) *cache[T] {
	return &cache[T]{
		named: client, strange: client.ForStrangers(), limits: l, now: now, maxBody: maxBody, size: size, what: what, parse: parse,
		entries: map[string]*list.Element{}, order: list.New(),
	}
}

// address is where something is published, and who says so.
type address struct {
	id string // as a client spells it
	*url.URL
	named   bool // the operator named its host
	written bool // the operator wrote all of it down
}

// key tells apart what strangers named and what the operator did.
func (a address) key() string {
	if a.named {
		return "named " + a.id
	}
	return a.id
}

// get returns what is at u, no older than since. Its errors are *oauth.Error:
// invalid_client if trying again cannot help, temporarily_unavailable if it may.
func (c *cache[T]) get(ctx context.Context, t *tenant.Tenant, u address, since time.Time) (T, error) {
	now := c.now()
	e, found := c.look(u.key())
	if found && now.Before(e.fresh) && !e.fetched.Before(since) {
		return e.value, nil
	}
	var none T
	// An address that was good is asked again without asking the limits, else
	// a stranger could use them up and lock the client out.
	free := found && now.Sub(e.tried) >= retryAfter
	done := c.flight.DoChan(u.key(), func() (any, error) {
		c.try(u.key())
		if !free && !c.limits.allow(t.Name, u.Host, remote.Network(remote.FromContext(ctx)), c.trust(t, u)) {
			return none, c.temporary(u.URL, errors.New("rate limited"))
		}
		// One caller's hanging up must not fail the others.
		return c.load(context.WithoutCancel(ctx), u)
	})
	select {
	case r := <-done:
		if r.Err != nil {
			return none, r.Err
		}
		return r.Val.(T), nil
	case <-ctx.Done():
		return none, oauth.Unavailable(ctx.Err())
	}
}

// trust says what is known of an address.
func (c *cache[T]) trust(t *tenant.Tenant, u address) trust {
	switch {
	case u.written, c.limits.isProven(u.id):
		return known
	case u.named, slices.Contains(t.Redirects.Hosts, u.Hostname()):
		return listed
	}
	return strange
}

// load fetches and judges what is at an address.
func (c *cache[T]) load(ctx context.Context, at address) (T, error) {
	var none T
	u, client := at.URL, c.strange
	if at.named {
		client = c.named
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return none, c.permanent(u, "has no usable address", err)
	}
	req.Header.Set("Accept", "application/json")
	hostport, _ := fetch.HostPort(u)
	res, err := client.Do(ctx, req, fetch.Policy{Hosts: []string{hostport}, MaxBody: c.maxBody, Timeout: fetchTimeout})
	switch {
	case errors.Is(err, fetch.ErrTooLarge):
		return none, c.permanent(u, fmt.Sprintf("is larger than %d bytes", c.maxBody), err)
	case errors.Is(err, fetch.ErrTransport), errors.Is(err, fetch.ErrAddressNotAllowed) && !isAddress(u):
		// One answer for a name without an address and for one whose address is
		// not a public one: strangers must not learn which names there are here.
		return none, c.temporary(u, err)
	case err != nil: // an address or a spelling that is never asked
		return none, c.permanent(u, "is not at an address on the public internet", err)
	case res.Status == http.StatusTooManyRequests || res.Status >= 500:
		return none, c.temporary(u, fmt.Errorf("status %d", res.Status))
	case res.Status != http.StatusOK: // redirects included
		return none, c.permanent(u, fmt.Sprintf("must be answered with status 200, not %d", res.Status), nil)
	case !isJSON(res.Header.Get("Content-Type")):
		return none, c.permanent(u, "must have the content type application/json", nil)
	}
	value, err := c.parse(at.id, res.Body)
	if err != nil {
		return none, c.permanent(u, err.Error(), nil)
	}
	c.keep(at.key(), value, freshFor(res.Header))
	return value, nil
}

func (c *cache[T]) permanent(u *url.URL, why string, cause error) error {
	return &oauth.Error{Code: oauth.InvalidClient, Description: fmt.Sprintf("the client's %s at %s %s", c.what, u.Host, why), Cause: cause}
}

func (c *cache[T]) temporary(u *url.URL, cause error) error {
	return &oauth.Error{
		Code: oauth.TemporarilyUnavailable, Status: http.StatusServiceUnavailable, RetryAfter: retryAfter, Cause: cause,
		Description: fmt.Sprintf("the client's %s at %s cannot be fetched right now, or is not on the public internet; try again in a minute", c.what, u.Host),
	}
}

// isAddress reports whether the host of u is an address and not a name.
func isAddress(u *url.URL) bool {
	_, err := netip.ParseAddr(u.Hostname())
	return err == nil
}

// look returns a copy of an entry, fresh or not.
func (c *cache[T]) look(id string) (entry[T], bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.entries[id]
	if !ok {
		return entry[T]{}, false
	}
	c.order.MoveToFront(at)
	return *at.Value.(*entry[T]), true
}

// try notes an attempt, if there is where to note it.
func (c *cache[T]) try(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at, ok := c.entries[id]; ok {
		at.Value.(*entry[T]).tried = c.now()
	}
}

func (c *cache[T]) keep(id string, value T, fresh time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	e := &entry[T]{id: id, value: value, fetched: now, tried: now, fresh: now.Add(fresh)}
	if at, ok := c.entries[id]; ok {
		at.Value = e
		return
	}
	c.entries[id] = c.order.PushFront(e)
	if c.order.Len() > c.size {
		delete(c.entries, c.order.Remove(c.order.Back()).(*entry[T]).id)
	}
}

// isJSON accepts application/json and application/*+json, with parameters.
func isJSON(contentType string) bool {
	mediaType, _, err := mime.ParseMediaType(contentType)
	return err == nil && (mediaType == "application/json" ||
		strings.HasPrefix(mediaType, "application/") && strings.HasSuffix(mediaType, "+json"))
}

// freshFor reads Cache-Control as a shared cache does (RFC 9111 §5.2.2), less
// the time the answer spent in other caches.
func freshFor(h http.Header) time.Duration {
	directives := map[string]string{}
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		directives[strings.ToLower(name)] = strings.Trim(value, `"`)
	}
	for _, name := range []string{"no-store", "no-cache", "private"} {
		if _, ok := directives[name]; ok {
			return minFresh
		}
	}
	maxAge := cmp.Or(directives["s-maxage"], directives["max-age"])
	if maxAge == "" {
		return defaultFresh
	}
	age, _ := strconv.Atoi(h.Get("Age"))
	seconds, err := strconv.Atoi(maxAge)
	if err != nil {
		return minFresh
	}
	seconds = min(max(seconds, 0), int(maxFresh/time.Second)) - min(max(age, 0), int(maxFresh/time.Second))
	return max(time.Duration(seconds)*time.Second, minFresh)
}

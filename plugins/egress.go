package plugins

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/core/fetch"
	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/sdk/abi"
	"github.com/sallyport/sallyport/sdk/rules"
)

// attempts is how often an idempotent request is sent when nothing answers.
const attempts = 2

// perform sends a provider's request, client authentication added, to one of
// the hosts it may reach, and returns the answer as a step.
func (c *conversation) perform(ctx context.Context, r *abi.Request, body []byte) (step, error) {
	if c.op == abi.OpDescribe || c.op == abi.OpCheck {
		return step{}, c.bug("it asks for a request, which this operation may not")
	}
	policy := fetch.Policy{Hosts: c.hosts, MaxBody: int64(c.module.cfg.Limits.Answer), Timeout: c.module.cfg.Limits.Conversation}
	for attempt := 1; ; attempt++ {
		req, err := c.build(ctx, r, body)
		if err != nil {
			return step{}, err
		}
		c.requests++
		started := c.module.cfg.Now()
		res, err := c.module.cfg.Fetch.Do(ctx, req, policy)
		c.note(req.URL.Host, res, err, c.module.cfg.Now().Sub(started))
		switch {
		case err == nil:
			c.sent.clean(res)
			// An upstream that broke down may have done half of what it was asked.
			c.lost = acts(r) && res.Status >= http.StatusInternalServerError
			return stepOf(res), nil
		case errors.Is(err, fetch.ErrTransport) && r.Idempotent && attempt < attempts && ctx.Err() == nil:
			continue
		}
		e := c.egressError(err)
		e.Detail += fmt.Sprintf(", %s %s", r.Method, req.URL.Host)
		e.Lost = acts(r) && !forbidden(err) && !errors.Is(err, fetch.ErrUnsent)
		return step{}, e
	}
}

// acts tells whether a request may change something at the upstream that
// sending it again does not put right (RFC 9110 §9.2).
func acts(r *abi.Request) bool {
	return !r.Idempotent && r.Method != http.MethodGet && r.Method != http.MethodHead
}

// note tells of a request: the host, never the path or the query.
func (c *conversation) note(host string, res *fetch.Response, err error, took time.Duration) {
	e := RequestEvent{Provider: c.name(), Tenant: c.binding.Tenant, Op: c.op, Host: host, Took: took, Refused: forbidden(err)}
	if res != nil {
		e.Status, e.Bytes = res.Status, len(res.Body)
	}
	c.module.cfg.Observer.Request(e)
	c.module.cfg.Logger.Debug("upstream request", "plugin", e.Provider, "tenant", e.Tenant, "op", e.Op,
		"host", host, "status", e.Status, "bytes", e.Bytes, "refused", e.Refused, "took", took.Round(time.Millisecond).String())
}

// forbidden tells whether a rule of ours kept a request from being sent.
func forbidden(err error) bool {
	return slices.ContainsFunc([]error{
		fetch.ErrHostNotAllowed, fetch.ErrAddressNotAllowed, fetch.ErrScheme, fetch.ErrHeader, fetch.ErrURL,
	}, func(kind error) bool { return errors.Is(err, kind) })
}

func (c *conversation) build(ctx context.Context, r *abi.Request, body []byte) (*http.Request, error) {
	if err := rules.CheckRequest(r); err != nil {
		return nil, c.bug(err.Error())
	}
	u, err := url.Parse(r.URL)
	if err != nil {
		return nil, c.bug("it asks for something that is not a URL")
	}
	header := http.Header{}
	for _, h := range r.Headers {
		header.Add(h[0], h[1])
	}
	if r.ClientAuth != nil {
		// The rules for hosts come first: no credential is put into a request
		// that may not leave.
		if err := c.module.cfg.Fetch.CheckURL(u, c.hosts); err != nil {
			return nil, c.egressError(err)
		}
		if body, err = c.authenticate(r.ClientAuth, r.Method, u, header, body); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, bytes.NewReader(body))
	if err != nil {
		return nil, c.bug("it asks for something that is not a URL")
	}
	req.Header = header
	return req, nil
}

// stepOf orders the headers, which come as a map, so that the document depends
// on the answer alone.
func stepOf(res *fetch.Response) step {
	s := step{Step: abi.Step{Status: res.Status, Headers: []abi.Header{}, BodyLen: len(res.Body)}, Body: res.Body}
	for _, name := range slices.Sorted(maps.Keys(res.Header)) {
		for _, v := range res.Header[name] {
			s.Headers = append(s.Headers, abi.Header{strings.ToLower(name), strings.ToValidUTF8(v, "\uFFFD")})
		}
	}
	return s
}

// egressError says whose turn it is: what a setting can allow is the
// operator's, what the provider must not ask is its author's, and the rest is
// the upstream's.
func (c *conversation) egressError(err error) *upstream.Error {
	e := &upstream.Error{Kind: upstream.Unavailable, Err: err}
	switch {
	case errors.Is(err, fetch.ErrHostNotAllowed), errors.Is(err, fetch.ErrAddressNotAllowed), errors.Is(err, fetch.ErrScheme),
		errors.Is(err, errSecretPlace):
		e.Kind = upstream.Misconfigured
	case errors.As(err, new(*fetch.SetupError)): // asking again does not help
		e.Kind = upstream.Misconfigured
	case errors.Is(err, fetch.ErrHeader), errors.Is(err, fetch.ErrURL):
		return c.bug(err.Error())
	}
	e.Detail = fmt.Sprintf("plugin %s, %s", c.name(), c.op)
	return e
}

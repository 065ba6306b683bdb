package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
)

const (
	maxPages    = 20      // pages and redirects of one visit
	maxPageSize = 1 << 20 // bytes read of one page
)

// Fill answers a form: it sets values and presses a button.
type Fill func(*Form) error

// SignIn answers the forms of a login through Sallyport to the demo upstream:
// it approves on the consent page and logs in as the user of that name.
func SignIn(login string) Fill {
	return func(f *Form) error {
		if f.Has("decision") {
			return f.Press("decision", "approve")
		}
		return f.Press("login", login)
	}
}

// Browser does what a person with a browser does between an authorization URL
// and the client's callback: it keeps cookies, follows redirects and refresh
// pages, and submits forms. It runs no script.
type Browser struct {
	client *http.Client
	fill   Fill
}

// NewBrowser returns a browser with an empty cookie jar that answers forms
// with fill. A nil transport means one of its own.
func NewBrowser(fill Fill, transport http.RoundTripper) *Browser {
	jar, _ := cookiejar.New(nil) // fails for no options that exist
	return &Browser{fill: fill, client: &http.Client{
		Transport: transportOr(transport),
		Jar:       jar,
		// Redirects are followed by Visit, which must see each before it is fetched.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// transportOr returns t, or a transport of its own if t is nil. The default one
// is shared with all of a test binary, where closing any test server closes its
// connections.
func transportOr(t http.RoundTripper) http.RoundTripper {
	if t == nil {
		return &http.Transport{IdleConnTimeout: requestTimeout}
	}
	return t
}

// Visit opens address and goes on from page to page until one leads to a URL
// for which until is true. It returns that URL without fetching it. A page
// with a status other than 200, or with nothing to go on with, is an error that
// quotes the page.
func (b *Browser) Visit(ctx context.Context, address string, until func(*url.URL) bool) (*url.URL, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("visit: %w", err)
	}
	for range maxPages {
		next, err := b.open(req)
		if err != nil {
			return nil, err
		}
		if until(next.URL) {
			return next.URL, nil
		}
		req = next
	}
	return nil, fmt.Errorf("visit %s: gave up after %d pages, at %s", address, maxPages, req.URL.Redacted())
}

// open fetches a page and returns the request it leads to.
func (b *Browser) open(req *http.Request) (*http.Request, error) {
	resp, err := b.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("visit: %w", err)
	}
	defer resp.Body.Close()
	ctx := req.Context()
	if to, err := resp.Location(); err == nil && resp.StatusCode/100 == 3 {
		return redirected(req, resp.StatusCode, to)
	} else if err != nil && !errors.Is(err, http.ErrNoLocation) {
		return nil, fmt.Errorf("visit %s: %w", req.URL.Path, err)
	}
	page, err := parsePage(req.URL, io.LimitReader(resp.Body, maxPageSize))
	if err != nil {
		return nil, err
	}
	switch {
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("visit %s: status %d: %.300s", req.URL.Path, resp.StatusCode, page.text)
	case page.refresh != nil:
		return http.NewRequestWithContext(ctx, http.MethodGet, page.refresh.String(), nil)
	case page.form == nil:
		return nil, fmt.Errorf("visit %s: the page leads nowhere: %.300s", req.URL.Path, page.text)
	}
	if err := b.fill(page.form); err != nil {
		return nil, fmt.Errorf("visit %s: %w", req.URL.Path, err)
	}
	return page.form.request(ctx, resp.Header.Get("Referrer-Policy"))
}

// redirected returns the request a redirect asks for. Only 307 and 308 repeat
// a POST (RFC 9110 §15.4).
func redirected(req *http.Request, status int, to *url.URL) (*http.Request, error) {
	method, body := http.MethodGet, io.ReadCloser(nil)
	again := status == http.StatusTemporaryRedirect || status == http.StatusPermanentRedirect
	if again && req.GetBody != nil {
		var err error
		if body, err = req.GetBody(); err != nil {
			return nil, err
		}
		method = req.Method
	}
	next, err := http.NewRequestWithContext(req.Context(), method, to.String(), body)
	if err == nil && body != nil {
		next.GetBody, next.ContentLength = req.GetBody, req.ContentLength
		next.Header.Set("Content-Type", req.Header.Get("Content-Type"))
	}
	return next, err
}

// request builds the submission of the form.
func (f *Form) request(ctx context.Context, referrerPolicy string) (*http.Request, error) {
	if f.Method == http.MethodGet {
		to := *f.Action
		to.RawQuery = f.Values.Encode()
		return http.NewRequestWithContext(ctx, http.MethodGet, to.String(), nil)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.Action.String(), strings.NewReader(f.Values.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	// A page that asks for no referrer gets no origin either (Fetch, "append a
	// request Origin header"); a server must not take the null for a stranger.
	origin := f.Page.Scheme + "://" + f.Page.Host
	sameOrigin := f.Action.Scheme == f.Page.Scheme && f.Action.Host == f.Page.Host
	if strings.EqualFold(referrerPolicy, "no-referrer") {
		origin = "null"
	}
	req.Header.Set("Origin", origin)
	if sameOrigin {
		req.Header.Set("Sec-Fetch-Site", "same-origin")
	} else {
		req.Header.Set("Sec-Fetch-Site", "cross-site")
	}
	return req, nil
}

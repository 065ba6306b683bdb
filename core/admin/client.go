package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/sallyport/sallyport/core/store"
)

// Remote performs operations at a running server, through its socket.
type Remote struct {
	path string
	http *http.Client
}

var _ Operations = (*Remote)(nil)

// Dial returns the operations of the server that answers at the socket, and
// what the server says about itself. The error is ErrNoServer where no server
// listens.
func Dial(ctx context.Context, path string) (*Remote, Server, error) {
	c := &Remote{path: path, http: &http.Client{Transport: &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, path) },
		DisableKeepAlives: true,
	}}}
	var s Server
	err := c.call(ctx, http.MethodGet, pathServer, nil, &s)
	return c, s, err
}

// do sends a request and returns an answer of status 200.
func (c *Remote) do(ctx context.Context, method, path string, in any) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://sallyport"+path, body)
	if err != nil {
		return nil, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		if errors.Is(err, ErrNoServer) {
			return nil, fmt.Errorf("%w %s", ErrNoServer, c.path)
		}
		return nil, fmt.Errorf("the server at the admin socket %s: %w", c.path, errors.Unwrap(err))
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()
	var refused struct {
		Error string `json:"error"`
	}
	text, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if json.Unmarshal(text, &refused) != nil || refused.Error == "" {
		return nil, fmt.Errorf("the server at the admin socket %s answers %s; the command and the server may be of different versions", c.path, res.Status)
	}
	if res.StatusCode < http.StatusInternalServerError {
		return nil, &RequestError{refused.Error}
	}
	return nil, fmt.Errorf("the server answers: %s", refused.Error)
}

func (c *Remote) call(ctx context.Context, method, path string, in, out any) error {
	res, err := c.do(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(out); err != nil {
		return fmt.Errorf("the answer of the server cannot be read: %w", err)
	}
	return nil
}

// Grants implements Operations.
func (c *Remote) Grants(ctx context.Context, only GrantFilter, f func(Grant) error) (map[string]int, error) {
	res, err := c.do(ctx, http.MethodPost, pathGrants, only)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return readLines(res.Body, func(l line) error {
		if l.Grant == nil {
			return nil
		}
		return f(*l.Grant)
	})
}

// readLines calls f with each line of an answer.
func readLines(r io.Reader, f func(line) error) (unreadable map[string]int, err error) {
	for lines := json.NewDecoder(r); ; {
		var l line
		if err := lines.Decode(&l); err != nil {
			return nil, fmt.Errorf("the answer of the server is cut off: %w", err)
		}
		switch {
		case l.Wrong:
			return nil, &RequestError{l.Error}
		case l.Error != "":
			return l.Unreadable, fmt.Errorf("the server answers: %s", l.Error)
		case l.Done:
			return l.Unreadable, nil
		}
		if err := f(l); err != nil {
			return nil, err
		}
	}
}

// Revoke implements Operations.
func (c *Remote) Revoke(ctx context.Context, r Revocation) (e Ended, err error) {
	err = c.call(ctx, http.MethodPost, pathRevoke, r, &e)
	return e, err
}

// Clients implements Operations.
func (c *Remote) Clients(ctx context.Context, tenantName string) (all []Client, err error) {
	err = c.call(ctx, http.MethodPost, pathClients, ClientRef{Tenant: tenantName}, &all)
	return all, err
}

// Block implements Operations.
func (c *Remote) Block(ctx context.Context, ref ClientRef) (b Blocked, err error) {
	err = c.call(ctx, http.MethodPost, pathBlock, ref, &b)
	return b, err
}

// Unblock implements Operations.
func (c *Remote) Unblock(ctx context.Context, ref ClientRef) (b Blocked, err error) {
	err = c.call(ctx, http.MethodPost, pathUnblock, ref, &b)
	return b, err
}

// Tenants reads the tenants of the server into out.
func (c *Remote) Tenants(ctx context.Context, out any) error {
	return c.call(ctx, http.MethodGet, pathTenants, nil, out)
}

// Accept has the server apply the change that waits for a tenant.
func (c *Remote) Accept(ctx context.Context, tenantName string, out any) error {
	return c.call(ctx, http.MethodPost, pathAccept, ClientRef{Tenant: tenantName}, out)
}

// Plugins reads the plugins of the server into out.
func (c *Remote) Plugins(ctx context.Context, out any) error {
	return c.call(ctx, http.MethodGet, pathPlugins, nil, out)
}

// CheckStore has the server run its start check of the store.
func (c *Remote) CheckStore(ctx context.Context) (s StoreState, err error) {
	err = c.call(ctx, http.MethodPost, pathCheckStore, nil, &s)
	return s, err
}

// Backup has the server send its whole store. A store that is a file is written
// to w; of every other one, each is called with the records.
func (c *Remote) Backup(ctx context.Context, w io.Writer, each func(store.Record) error) (isFile bool, err error) {
	res, err := c.do(ctx, http.MethodPost, pathBackup, nil)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	if strings.HasPrefix(res.Header.Get("Content-Type"), typeFile) {
		_, err := io.Copy(w, res.Body)
		return true, err
	}
	_, err = readLines(res.Body, func(l line) error {
		if l.Record == nil {
			return nil
		}
		return each(store.Record{Key: l.Record.Key, Value: l.Record.Value, TTL: l.Record.TTL})
	})
	return false, err
}

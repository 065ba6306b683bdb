package gateway

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/sallyport/sallyport/core/oauth"
)

const (
	// maxBody is the largest request body, in bytes, that is kept: for policy to
	// look into, and for a second try.
	maxBody = 1 << 20
	// maxKept bounds the bytes of all bodies that are kept at one time. A tenant
	// and a login have a share of it.
	maxKept       = 128 << 20
	maxKeptTenant = maxKept / 2
	maxKeptLogin  = maxKept / 8
	// bodyTime is how long the sender of a body has for it, while the server
	// reads.
	bodyTime = 30 * time.Second
)

// bodies counts the bytes of the request bodies that are kept.
type bodies struct {
	mu    sync.Mutex
	total int64
	by    map[string]int64 // a login or a sender, or a tenant
}

func newBodies() *bodies { return &bodies{by: map[string]int64{}} }

// take counts n bytes more, or reports that they are too many.
func (b *bodies) take(login, tenant string, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.total+n > maxKept || b.by[login]+n > maxKeptLogin || b.by[tenant]+n > maxKeptTenant {
		return false
	}
	b.add(login, tenant, n)
	return true
}

// give takes n bytes back.
func (b *bodies) give(login, tenant string, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(login, tenant, -n)
}

func (b *bodies) add(login, tenant string, n int64) {
	b.total += n
	for _, key := range []string{login, tenant} {
		if b.by[key] += n; b.by[key] == 0 {
			delete(b.by, key)
		}
	}
}

// kept is a request body, or the beginning of one, that can be read several
// times. Its memory is given back when the call no longer needs it and no reader
// is left.
type kept struct {
	bodies        *bodies
	login, tenant string

	mu    sync.Mutex
	b     []byte
	taken int64
	users int // the call, and each reader
}

// errGone is returned for a body that was given up.
var errGone = errors.New("gateway: the kept body was given up")

// fill reads r to its end and reports whether all of it is kept: not if it is
// larger than maxBody, or there is no room for it.
func (k *kept) fill(r io.Reader, length int64) (whole bool, err error) {
	size := int64(512)
	if length > 0 {
		size = min(length+1, 32<<10) // what has not arrived takes no memory, whatever Content-Length says
	}
	for {
		if len(k.b) == cap(k.b) && !k.grow(min(max(size, 2*int64(cap(k.b))), maxBody+1)) {
			return false, nil
		}
		n, err := r.Read(k.b[len(k.b):cap(k.b)])
		k.b = k.b[:len(k.b)+n]
		switch {
		case len(k.b) > maxBody:
			return false, nil
		case errors.Is(err, io.EOF):
			return true, nil
		case err != nil:
			return false, err
		}
	}
}

func (k *kept) grow(size int64) bool {
	if !k.bodies.take(k.login, k.tenant, size-k.taken) {
		return false
	}
	k.taken = size
	k.b = append(make([]byte, 0, size), k.b...)
	return true
}

// open returns a reader from the beginning. It has to be closed or read to its
// end.
func (k *kept) open() (io.ReadCloser, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.users == 0 {
		return nil, errGone
	}
	k.users++
	return &keptReader{kept: k, left: k.b}, nil
}

// leave counts one user less.
func (k *kept) leave() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.users--; k.users == 0 {
		k.b = nil
		k.bodies.give(k.login, k.tenant, k.taken)
	}
}

// keptReader reads a kept body once. The transport may close it while it reads.
type keptReader struct {
	mu   sync.Mutex
	kept *kept // nil: closed, or read to the end
	left []byte
}

// Read implements io.Reader.
func (r *keptReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := copy(p, r.left)
	if r.left = r.left[n:]; len(r.left) > 0 || n > 0 {
		return n, nil
	}
	r.release()
	return 0, io.EOF
}

// Close implements io.Closer.
func (r *keptReader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.release()
	return nil
}

func (r *keptReader) release() {
	if r.left = nil; r.kept != nil {
		r.kept.leave()
		r.kept = nil
	}
}

// keep reads a body of at most maxBody bytes so that it can be looked into and
// sent twice. A larger one, and one that there is no room for, streams through
// and is sent once; the beginning of one whose length is not known has been read
// by then.
func (c *call) keep(b *bodies, caller string) error {
	r := c.in
	if c.read {
		return nil
	}
	c.read = true
	if r.Body == nil || r.Body == http.NoBody {
		c.whole = true
		return nil
	}
	if r.ContentLength > maxBody {
		return nil
	}
	k := &kept{bodies: b, login: "login " + caller, tenant: "tenant " + c.tenant.Name, users: 1}
	c.hurry(bodyTime)
	whole, err := k.fill(r.Body, r.ContentLength)
	c.hurry(0)
	if err != nil {
		k.leave()
		return cut(err)
	}
	if !whole {
		c.large = len(k.b) > maxBody
		beginning, _ := k.open()
		k.leave()
		r.Body = unread{io.MultiReader(beginning, r.Body), joined{beginning, r.Body}}
		return nil
	}
	c.body, c.whole = k, true
	r.ContentLength, r.TransferEncoding = int64(len(k.b)), nil
	return c.rewind(r)
}

// cut is the refusal of a body that did not come to its end.
func cut(err error) error {
	fault := oauth.Errorf(oauth.InvalidRequest, "the body ended early")
	if errors.Is(err, os.ErrDeadlineExceeded) {
		fault = oauth.Errorf(oauth.InvalidRequest, "the body took longer than %v", bodyTime)
		fault.Status = http.StatusRequestTimeout
	}
	fault.Cause = err
	return fault
}

// unread is a body with its beginning put back.
type unread struct {
	io.Reader
	io.Closer
}

// joined closes both.
type joined struct{ a, b io.Closer }

// Close implements io.Closer.
func (j joined) Close() error { return errors.Join(j.a.Close(), j.b.Close()) }

// rewind gives r the kept body from its beginning. GetBody lets the transport
// do it too, when a connection it kept turns out to be closed.
func (c *call) rewind(r *http.Request) (err error) {
	if c.body == nil {
		return nil
	}
	r.GetBody = c.body.open
	r.Body, err = r.GetBody()
	return err
}

// giveUp ends the call's own use of its body: it is not sent again.
func (c *call) giveUp() {
	if c.body != nil {
		c.body.leave()
		c.body = nil
	}
}

// noRoom refuses a message that policy has to look into and that cannot be kept.
func noRoom(large bool) *refusal {
	if large {
		return &refusal{fault: &oauth.Error{
			Code: oauth.InvalidRequest, Status: http.StatusRequestEntityTooLarge, Description: "a message here is at most 1 MiB",
		}}
	}
	return &refusal{reason: "bodies", limited: true, fault: oauth.TooMany("too many large messages wait for the MCP server", time.Second)}
}

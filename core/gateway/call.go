package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/tenant"
)

// maxBody is the largest request body, in bytes, that is kept: for policy to
// look into, and for a second try.
const maxBody = 1 << 20

// call is one request on its way through the gateway.
type call struct {
	tenant  *tenant.Tenant
	backend string   // name of one of several, see tenant.BackendAt
	to      *url.URL // its address
	in      *http.Request
	pass
	vouched http.Header // what the backend is told of the user
	leave   func()      // makes room for another call; nil: never entered
	cancel  func()      // ends the backend's part

	read     bool // the body was asked for
	whole    bool // and body is all of it
	body     []byte
	messages []message
}

type callKey struct{}

func callFrom(ctx context.Context) *call { return ctx.Value(callKey{}).(*call) }

// vouch fills in what the backend is told.
func (c *call) vouch(g *gate) (err error) {
	c.vouched, err = g.vouch(c.tenant, &c.pass, c.to.Scheme+"://"+c.to.Host)
	return err
}

// keep reads a body of at most maxBody bytes so that it can be looked into and
// sent twice. A larger one streams through and is sent once; of one whose
// length is not known the beginning has been read by then.
func (c *call) keep() error {
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
	// What is not there yet takes no memory, whatever Content-Length says.
	b := bytes.NewBuffer(make([]byte, 0, bytes.MinRead+min(max(r.ContentLength, 0), 32<<10)))
	if _, err := b.ReadFrom(io.LimitReader(r.Body, maxBody+1)); err != nil {
		return oauth.Errorf(oauth.InvalidRequest, "the body cannot be read to its end")
	}
	if b.Len() > maxBody {
		r.Body = unread{io.MultiReader(b, r.Body), r.Body}
		return nil
	}
	c.body, c.whole = b.Bytes(), true
	r.ContentLength, r.TransferEncoding = int64(len(c.body)), nil
	c.rewind(r)
	return nil
}

// unread is a body with its beginning put back.
type unread struct {
	io.Reader
	io.Closer
}

// rewind gives r the kept body from its beginning. GetBody lets the transport
// do it too, when a connection it kept turns out to be closed.
func (c *call) rewind(r *http.Request) {
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(c.body)), nil }
	r.Body, _ = r.GetBody()
}

// look returns the messages in the body, for policy to judge.
func (c *call) look() ([]message, error) {
	if c.in.Method != http.MethodPost {
		if c.in.ContentLength != 0 { // some servers take the method from a header
			return nil, oauth.Errorf(oauth.InvalidRequest, "a message is sent by POST")
		}
		return nil, nil // a stream, or the end of a session
	}
	if !plainJSON(c.in.Header) {
		return nil, &refusal{fault: &oauth.Error{
			Code: oauth.InvalidRequest, Status: http.StatusUnsupportedMediaType, Description: "the body must be application/json in UTF-8, not encoded otherwise",
		}}
	}
	if err := c.keep(); err != nil {
		return nil, err
	}
	if !c.whole {
		return nil, &refusal{fault: &oauth.Error{
			Code: oauth.InvalidRequest, Status: http.StatusRequestEntityTooLarge, Description: "a message here is at most 1 MiB",
		}}
	}
	messages, err := parse(c.body)
	if err != nil {
		return nil, &refusal{fault: oauth.Errorf(oauth.InvalidRequest, "%s", err), code: codeParse}
	}
	c.messages = messages
	if err := agree(c.in.Header, messages); err != nil {
		return nil, &refusal{fault: oauth.Errorf(oauth.InvalidRequest, "%s", err), code: codeHeaderMismatch}
	}
	return messages, nil
}

// id is the id of the one request in the body, nil if there is none or it was
// not read.
func (c *call) id() json.RawMessage {
	messages := c.messages
	if messages == nil && c.whole {
		messages, _ = parse(c.body)
	}
	if len(messages) != 1 {
		return nil
	}
	return messages[0].id
}

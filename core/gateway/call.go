package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/tenant"
)

// call is one request on its way through the gateway.
type call struct {
	tenant  *tenant.Tenant
	backend string   // name of one of several, see tenant.BackendAt
	to      *url.URL // its address
	in      *http.Request
	wire    *http.ResponseController
	now     func() time.Time // of the network
	pass
	session session
	vouched http.Header // what the backend is told of the user
	leave   func()      // makes room for another call; nil: never entered
	cancel  func()      // ends the backend's part

	read     bool // the body was asked for
	whole    bool // body is all of it, or there was none
	large    bool // it is larger than maxBody
	body     *kept
	messages []message
}

type callKey struct{}

func callFrom(ctx context.Context) *call { return ctx.Value(callKey{}).(*call) }

// hurry gives the sender of the body d for the rest of it, from now on; 0: as
// long as it takes.
func (c *call) hurry(d time.Duration) {
	var deadline time.Time
	if d > 0 {
		deadline = c.now().Add(d)
	}
	if c.in.ContentLength != 0 && (d == 0 || !c.whole) {
		_ = c.wire.SetReadDeadline(deadline) // writers without a connection, in tests, have none
	}
}

// vouch fills in what the backend is told.
func (c *call) vouch(g *gate) (err error) {
	c.vouched, err = g.vouch(c.tenant, &c.pass, c.to.Scheme+"://"+c.to.Host)
	return err
}

// look returns the messages in the body, for policy to judge.
func (c *call) look(b *bodies, caller string) ([]message, error) {
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
	if err := c.keep(b, caller); err != nil {
		return nil, err
	}
	if !c.whole {
		return nil, noRoom(c.large || c.in.ContentLength > maxBody)
	}
	messages, err := parse(c.bytes())
	if err != nil {
		return nil, &refusal{fault: oauth.Errorf(oauth.InvalidRequest, "%s", err), code: codeParse}
	}
	c.messages = messages
	if err := agree(c.in.Header, messages); err != nil {
		return nil, &refusal{fault: oauth.Errorf(oauth.InvalidRequest, "%s", err), code: codeHeaderMismatch}
	}
	return messages, nil
}

// bytes is the kept body, nil if there is none.
func (c *call) bytes() []byte {
	if c.body == nil {
		return nil
	}
	return c.body.b
}

// parsed returns the messages in the body as far as it was read and kept.
func (c *call) parsed() ([]message, error) {
	if c.messages != nil || c.body == nil {
		return c.messages, nil
	}
	return parse(c.body.b)
}

// id is the id of the one request in the body, nil if there is none or it was
// not read.
func (c *call) id() json.RawMessage {
	messages, _ := c.parsed()
	if len(messages) != 1 {
		return nil
	}
	return messages[0].id
}

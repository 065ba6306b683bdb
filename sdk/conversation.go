package sdk

import (
	"io"
	"runtime"
	"strings"
	"time"

	"github.com/sallyport/sallyport/sdk/abi"
	"github.com/sallyport/sallyport/sdk/tree"
)

// Conversation is one call of an operation: the tenant it is for, and the
// upstream's answers so far. It belongs to the goroutine that the operation
// was called on and to that call.
//
// No field holds a type of package time: the linker keeps every String method
// that a provider can reach, and those of time cost a module 300 KB.
type Conversation struct {
	now      int64 // milliseconds since 1970 UTC
	tenant   string
	settings tree.Value
	client   Client
	answers  []*Response
	seed     string    // 32 bytes in hexadecimal
	random   io.Reader // nil before the first call of Random

	owner   string // the one goroutine that may call Do and Wait
	next    int    // the first answer not yet handed out
	outcome *move  // set once
}

// move is what a call comes to: exactly one member is set.
type move struct {
	request *Request
	waitMS  int64
	result  tree.Value
	err     *Error
}

// Now returns the time of the conversation, the same in all its calls.
func (c *Conversation) Now() time.Time { return time.UnixMilli(c.now).UTC() }

// Tenant returns the name of the tenant.
func (c *Conversation) Tenant() string { return c.tenant }

// Client returns our registration at the upstream, without its secret.
func (c *Conversation) Client() Client { return c.client }

// Setting returns one of the tenant's settings; the host has filled in the
// defaults of the manifest's schema.
func (c *Conversation) Setting(name string) tree.Value { return c.settings.Get(name) }

// Do performs a request and returns the upstream's answer, whatever its
// status. If the upstream cannot be reached the host ends the conversation,
// and Do never returns.
//
// Do cannot wait for the answer inside the sandbox. The first time, it hands
// the request to the host and ends the goroutine (deferred functions run,
// recover answers nil); the operation is then called again from its start,
// and this time Do returns the answer at once. The error is only ever a
// mistake in calling Do.
func (c *Conversation) Do(r *Request) (*Response, error) {
	if r == nil {
		return nil, Bug("", "sdk: Do called without a request")
	}
	return c.step(move{request: r})
}

// Wait lets d pass without holding anything, rounded up to a millisecond. It
// counts as a step of the conversation, as Do does.
func (c *Conversation) Wait(d time.Duration) error {
	if d <= 0 {
		return nil
	}
	_, err := c.step(move{waitMS: int64((d + time.Millisecond - 1) / time.Millisecond)})
	return err
}

func (c *Conversation) step(m move) (*Response, error) {
	if goroutine() != c.owner {
		return nil, Bug("", "sdk: Do or Wait called outside the goroutine of the operation; call them where the operation was called, one after the other")
	}
	if c.next < len(c.answers) {
		c.next++
		return c.answers[c.next-1], nil
	}
	// A deferred function that comes here again while the goroutine ends
	// changes nothing: the first word counts.
	c.end(m)
	// A panic could be swallowed by a recover of the author's; Goexit cannot.
	runtime.Goexit()
	return nil, nil
}

// end records what the call comes to; the first word counts.
func (c *Conversation) end(m move) {
	if c.outcome == nil {
		c.outcome = &m
	}
}

// run calls operation on a goroutine of its own, so that a suspension can end
// it, and returns what it came to.
func (c *Conversation) run(operation func() (tree.Value, error)) move {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if r := recover(); r != nil {
				c.end(move{err: Fail(abi.KindBug, "panic: "+panicText(r))})
			}
		}()
		c.owner = goroutine()
		result, err := operation()
		if err != nil {
			c.end(move{err: asError(err)})
			return
		}
		c.end(move{result: result})
	}()
	<-done
	if c.outcome == nil {
		return move{err: Fail(abi.KindBug, "the provider ended its goroutine without a result")}
	}
	return *c.outcome
}

// goroutine returns a name of the calling goroutine: the start of its stack
// trace, "goroutine 7", is the only one that Go gives.
func goroutine() string {
	var buf [40]byte
	name, _, _ := strings.Cut(string(buf[:runtime.Stack(buf[:], false)]), " [")
	return name
}

func panicText(r any) string {
	switch r := r.(type) {
	case error:
		return oneLine(r.Error())
	case string:
		return oneLine(r)
	}
	return "a value that is no text"
}

package plugins

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/plugins/wasi"
	"github.com/sallyport/sallyport/sdk/abi"
	"github.com/sallyport/sallyport/sdk/rules"
)

// Open loads one plugin file as a Host does, outside of any folder, for trying
// it out. The caller closes the module.
func Open(ctx context.Context, cfg Config, path string) (*Module, error) {
	m, err := (&Host{cfg: cfg.withDefaults()}).load(ctx, path, nil)
	if err != nil {
		return nil, fmt.Errorf("plugins: %s: %w", path, err)
	}
	return m, nil
}

// Trial is one run of a plugin.
type Trial struct {
	Output []byte   // the output document
	Fuel   int64    // spent
	Memory int      // bytes of linear memory at its end
	Log    []string // what it printed, from the end back to the limit
}

// Try runs the plugin once on an input document: on an instance of the pool,
// or on a fresh one that is thrown away. A sound plugin does not show the
// difference. An error says in what way the guest broke down; the Trial is
// then what is known until there.
func (m *Module) Try(ctx context.Context, doc []byte, fresh bool) (t Trial, err error) {
	system, log, err := m.systemFor(doc)
	if err != nil {
		return t, err
	}
	var i *instance
	if fresh {
		if i, err = m.instantiate(); err != nil {
			return t, err
		}
		defer i.close(ctx)
	} else {
		if i, err = m.pool.take(ctx); err != nil {
			return t, err
		}
		defer func() { m.pool.give(ctx, i, err != nil) }()
	}
	t.Output, t.Fuel, err = i.run(doc, system, m.cfg.Limits.fuel(len(doc)))
	t.Memory = int(i.mod.Memory().Size())
	t.Log, _ = log.Lines()
	return t, err
}

// systemFor is the system that a document's head asks for.
func (m *Module) systemFor(doc []byte) (*wasi.System, *wasi.Log, error) {
	var in abi.Input
	var seed [32]byte
	head, _, err := splitDocument(doc)
	if err == nil {
		err = json.Unmarshal(head, &in)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("the input document: %w", err)
	}
	if _, err := hex.Decode(seed[:], []byte(in.Seed[:min(len(in.Seed), 2*len(seed))])); err != nil {
		return nil, nil, fmt.Errorf("the input document: seed: %w", err)
	}
	log := wasi.NewLog(m.cfg.Limits.Log)
	return wasi.NewSystem(time.UnixMilli(in.Now), seed, log), log, nil
}

// splitDocument takes a document's head and bodies apart.
func splitDocument(doc []byte) (head, bodies []byte, err error) {
	if len(doc) < 4 {
		return nil, nil, errors.New("it is shorter than the length of a head")
	}
	n := uint64(doc[0]) | uint64(doc[1])<<8 | uint64(doc[2])<<16 | uint64(doc[3])<<24
	if n > uint64(len(doc)-4) {
		return nil, nil, errors.New("its head is longer than itself")
	}
	return doc[4 : 4+n], doc[4+n:], nil
}

// Turn is one run of a conversation in the open and what the host did upon it.
// Whatever is known to be a secret is redacted in it.
type Turn struct {
	Fuel   int64    // spent
	Memory int      // bytes of linear memory at its end
	Log    []string // what the provider printed, all runs together

	Request *abi.Request  // as the provider asked, before client authentication; nil: none
	Body    string        // of the request
	Wait    time.Duration // it wanted to wait; 0: no
	Took    time.Duration // the run of the plugin, without the upstream's answer

	Status int // of the answer; 0: there is none
	Bytes  int // of the answer's body
}

// Converse holds one conversation as it would be held for a tenant, with the
// same rules for what leaves the house, and tells each turn. It returns the
// result's JSON with secrets redacted; a failed conversation is an
// *upstream.Error. Unlike a Provider it takes the operation's input and gives
// its result as they are on the wire.
func (m *Module) Converse(ctx context.Context, b Binding, op string, input []byte, tell func(Turn)) ([]byte, error) {
	if err := m.acquire(); err != nil {
		return nil, err
	}
	defer m.release()
	bind := func() (*provider, error) { return m.bindChecked(ctx, b) }
	if op == abi.OpDescribe || op == abi.OpCheck {
		bind = func() (*provider, error) { return m.bind(b) }
	}
	p, err := bind()
	if err == nil {
		err = rules.CheckOperation(op, m.manifest)
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Limits.Conversation)
	defer cancel()
	c := &conversation{provider: p, op: op, input: input, secret: newRedactor(b, input), began: m.cfg.Now()}
	c.sent.needles = slices.Clone(p.secrets.needles)
	c.now = time.UnixMilli(c.began.UnixMilli())
	if _, err := io.ReadFull(m.cfg.Random, c.seed[:]); err != nil {
		return nil, fmt.Errorf("no randomness for a seed: %w", err)
	}
	return c.holdOpenly(ctx, tell)
}

func (c *conversation) holdOpenly(ctx context.Context, tell func(Turn)) ([]byte, error) {
	for {
		turn, out, body, err := c.tryTurn(ctx)
		if err != nil {
			tell(turn)
			return nil, err
		}
		switch {
		case out.Result != nil:
			tell(turn)
			if err := c.checkResult(out.Result); err != nil {
				return nil, err
			}
			return []byte(c.secret.shown("application/json", out.Result)), nil
		case out.Error != nil:
			tell(turn)
			return nil, c.ended(ctx, out.Error)
		case len(c.steps) >= c.module.cfg.Limits.Steps:
			tell(turn)
			return nil, c.bug(fmt.Sprintf("it took more than %d steps", c.module.cfg.Limits.Steps))
		}
		s, err := c.answer(ctx, out, body)
		turn.Status, turn.Bytes = s.Status, len(s.Body)
		tell(turn)
		if err != nil {
			return nil, err
		}
		c.learnEndpoints(out.Request, s)
		c.secret.learn(s.Body)
		c.steps = append(c.steps, s)
	}
}

// checkResult makes the checks of the typed operations on a result as it is on
// the wire.
func (c *conversation) checkResult(result abi.Raw) error {
	if err := rules.CheckResult(c.op, c.input, result); err != nil {
		return c.bug(err.Error())
	}
	var authorize abi.AuthorizeResult
	if c.op != abi.OpAuthorize {
		return nil
	}
	if err := json.Unmarshal(result, &authorize); err != nil {
		return c.bug("the result has another shape than sdk/ABI.md says")
	}
	u, err := url.Parse(authorize.URL)
	if err != nil {
		return c.bug("the authorize URL is not a usable URL")
	}
	if err := c.module.cfg.Fetch.CheckURL(u, c.hosts); err != nil {
		return &upstream.Error{Kind: upstream.Misconfigured, Detail: fmt.Sprintf("plugin %s, authorize URL", c.name()), Err: err}
	}
	return nil
}

// tryTurn is turn with a look at the instance.
func (c *conversation) tryTurn(ctx context.Context) (turn Turn, out abi.Output, body []byte, err error) {
	doc, err := c.document()
	if err != nil {
		return turn, out, nil, err
	}
	started := c.module.cfg.Now()
	t, err := c.module.Try(ctx, doc, false)
	turn.Took = c.module.cfg.Now().Sub(started)
	turn.Fuel, turn.Memory = t.Fuel, t.Memory
	for _, line := range t.Log {
		turn.Log = append(turn.Log, c.secret.clean(line))
	}
	if out, body, err = c.move(t.Output, err); err != nil {
		return turn, out, nil, err
	}
	turn.Wait = time.Duration(min(out.WaitMS, 1<<40)) * time.Millisecond
	if out.Request != nil {
		turn.Request, turn.Body = c.secret.shownRequest(out.Request, body)
	}
	return turn, out, body, nil
}

const redacted = "[redacted]"

// shownRequest is a request for a person's eyes.
func (r *redactor) shownRequest(req *abi.Request, body []byte) (*abi.Request, string) {
	shown, kind := *req, ""
	shown.URL = r.clean(req.URL)
	if at, query, ok := strings.Cut(req.URL, "?"); ok {
		shown.URL = r.clean(at) + "?" + r.shown("", []byte(query))
	}
	shown.Headers = nil
	for _, h := range req.Headers {
		name := strings.ToLower(h[0])
		switch {
		case name == "content-type":
			kind = h[1]
		case name == "authorization":
			scheme, _, _ := strings.Cut(h[1], " ")
			h[1] = scheme + " " + redacted
		case secretName(name):
			h[1] = redacted
		}
		shown.Headers = append(shown.Headers, abi.Header{h[0], r.clean(h[1])})
	}
	return &shown, r.shown(kind, body)
}

// shown is a body without the values that its names give away as secrets and
// without those already known.
func (r *redactor) shown(kind string, body []byte) string {
	if strings.Contains(kind, "json") {
		d := json.NewDecoder(strings.NewReader(string(body)))
		d.UseNumber()
		var v any
		if d.Decode(&v) == nil {
			var text strings.Builder
			enc := json.NewEncoder(&text)
			enc.SetEscapeHTML(false) // it is for people
			if enc.Encode(mask("", v)) == nil {
				return r.clean(strings.TrimSpace(text.String()))
			}
		}
		return r.clean(string(body))
	}
	pairs := strings.Split(string(body), "&")
	for i, pair := range pairs {
		name, _, ok := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(name); ok && (err != nil || secretName(plain)) {
			pairs[i] = name + "=" + redacted
		}
	}
	return r.clean(strings.Join(pairs, "&"))
}

// mask replaces the texts below secret names.
func mask(name string, v any) any {
	switch v := v.(type) {
	case string:
		if secretName(name) {
			return redacted
		}
	case map[string]any:
		for k, e := range v {
			v[k] = mask(k, e)
		}
	case []any:
		for i, e := range v {
			v[i] = mask(name, e)
		}
	}
	return v
}

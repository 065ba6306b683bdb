package plugins

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/plugins/wasi"
	"github.com/sallyport/sallyport/sdk/abi"
	"github.com/sallyport/sallyport/sdk/rules"
)

// conversation is one call of an operation: the guest is run on the answers so
// far until it returns a result. It belongs to one goroutine.
type conversation struct {
	*provider
	op     string
	input  abi.Raw
	began  time.Time
	now    time.Time // what the guest is told, of an earlier attempt if there was one
	seed   [32]byte
	steps  []step
	replay []step // kept by an earlier attempt, not yet asked for again
	keep   *keeper
	reused []string // digests of requests whose answers are kept for others
	secret *redactor
	sent   eraser // of the client secret and of assertions that were sent

	endpoints []string // that a metadata document names; a secret may go there
	issuers   []string // that it states

	log      *wasi.Log // of the last run
	runs     int
	ran      bool   // a run returned
	broke    string // how the guest broke down, if it did
	requests int
	lost     bool  // what the last request came to may not be what its answer says
	fuel     int64 // spent, all runs together
}

// converse holds one conversation and returns the result's JSON. Every error
// is or wraps an *upstream.Error. The caller has acquired the module.
func (p *provider) converse(ctx context.Context, op string, input abi.Raw, keep *keeper) (result abi.Raw, err error) {
	began := p.module.cfg.Now()
	if talks(op) {
		defer func() {
			p.module.cfg.Observer.Conversation(ConversationEvent{
				Provider: p.module.manifest.Name, Tenant: p.binding.Tenant, Op: op, Outcome: outcomeOf(err), Took: p.module.cfg.Now().Sub(began),
			})
		}()
		leave, err := p.module.circuits.enter(p.circuitKey(), began)
		if err != nil {
			return nil, fmt.Errorf("plugin %s, %s: %w", p.name(), op, err)
		}
		defer leave()
	}
	ctx, cancel := context.WithTimeout(ctx, p.module.cfg.Limits.Conversation)
	defer cancel()
	c := &conversation{provider: p, op: op, input: input, keep: keep, secret: newRedactor(p.binding, input), began: began}
	c.sent.needles = slices.Clone(p.secrets.needles)
	c.now = time.UnixMilli(began.UnixMilli()) // as the document and the journal have it
	if _, err := io.ReadFull(p.module.cfg.Random, c.seed[:]); err != nil {
		return nil, &upstream.Error{Kind: upstream.Unavailable, Detail: "no randomness for a seed", Err: err}
	}
	c.resume()
	result, err = c.hold(ctx)
	c.count()
	c.report(err)
	if err != nil {
		if !answered(err) {
			c.answers.drop(c.reused)
		}
		return nil, err
	}
	return result, nil
}

// talks reports whether an operation's conversation counts for the circuits. What
// happens in describe and check is not the upstream's doing, and refuses the
// module or the settings.
func talks(op string) bool { return op != abi.OpDescribe && op != abi.OpCheck }

// count tells the circuits how the conversation went.
func (c *conversation) count() {
	m, key := c.module, c.circuitKey()
	switch {
	case !talks(c.op) || c.runs == 0:
	case c.broke != "":
		o := m.circuits.fault(key, m.cfg.Now(), c.broke)
		reason := fmt.Sprintf("it broke down %d times within %v; the last time: %s", circuitFaults, circuitWindow, c.secret.clean(c.broke))
		if o.tenant {
			m.changed(PluginResting, key.tenant, reason)
		}
		if o.own {
			m.changed(PluginResting, "", "it broke down at several tenants and worked at none; the last time: "+c.secret.clean(c.broke))
		}
	case c.ran:
		o := m.circuits.succeed(key, m.cfg.Now())
		if o.tenant {
			m.changed(PluginRecalled, key.tenant, "")
		}
		if o.own {
			m.changed(PluginRecalled, "", "")
		}
	}
}

func (c *conversation) hold(ctx context.Context) (abi.Raw, error) {
	for {
		out, body, err := c.turn(ctx)
		if err != nil {
			return nil, err
		}
		switch {
		case out.Result != nil:
			return out.Result, nil
		case out.Error != nil:
			return nil, c.ended(ctx, out.Error)
		case len(c.steps) >= c.module.cfg.Limits.Steps:
			return nil, c.bug(fmt.Sprintf("it took more than %d steps", c.module.cfg.Limits.Steps))
		}
		s, err := c.answer(ctx, out, body)
		if err != nil {
			return nil, err
		}
		c.learnEndpoints(out.Request, s)
		c.secret.learn(s.Body)
		c.steps = append(c.steps, s)
		if len(c.replay) > 0 {
			c.replay = c.replay[1:]
			continue
		}
		if err := c.keep.save(ctx, c); err != nil {
			return nil, &upstream.Error{Kind: upstream.Unavailable, Detail: "the upstream's answer could not be kept", Lost: true, Err: err}
		}
	}
}

// turn runs the guest once on the answers so far.
func (c *conversation) turn(ctx context.Context) (abi.Output, []byte, error) {
	doc, err := c.document()
	if err != nil {
		return abi.Output{}, nil, err
	}
	c.runs++
	c.log = wasi.NewLog(c.module.cfg.Limits.Log)
	started := c.module.cfg.Now()
	raw, fuel, err := c.module.run(ctx, doc, wasi.NewSystem(c.now, c.seed, c.log))
	c.fuel += fuel
	fault := guestFault("")
	if errors.As(err, &fault) {
		c.broke = fault.Error()
	}
	c.ran = c.ran || err == nil
	c.module.cfg.Observer.Run(RunEvent{
		Provider: c.name(), Tenant: c.binding.Tenant, Op: c.op,
		Fuel: fuel, Took: c.module.cfg.Now().Sub(started), Fault: err != nil,
	})
	return c.move(raw, err)
}

// document is the guest's input as it stands now.
func (c *conversation) document() ([]byte, error) {
	doc, err := encodeInput(abi.Input{
		ABI: abi.Version, Op: c.op, Now: c.now.UnixMilli(), Seed: hex.EncodeToString(c.seed[:]),
		Tenant: c.binding.Tenant, Settings: c.settings,
		Client: abi.Client{ID: c.binding.ClientID, RedirectURI: c.binding.RedirectURI},
		Input:  c.input, StepsLeft: c.module.cfg.Limits.Steps - len(c.steps),
	}, c.steps)
	if err != nil {
		return nil, c.bug("the input cannot be written as JSON")
	}
	if len(doc) > maxInput {
		return nil, &upstream.Error{Kind: upstream.Unavailable, Detail: fmt.Sprintf("the upstream's answers together exceed %d bytes", maxInput)}
	}
	return doc, nil
}

// move reads what a run returned, or says what its failure means.
func (c *conversation) move(raw []byte, err error) (abi.Output, []byte, error) {
	if fault := guestFault(""); errors.As(err, &fault) {
		return abi.Output{}, nil, c.bug(fault.Error())
	} else if err != nil {
		return abi.Output{}, nil, c.late(err)
	}
	out, body, err := decodeOutput(raw)
	if err != nil {
		return out, nil, c.bug(err.Error())
	}
	return out, body, nil
}

// answer gets the answer to a request or waits, or takes what an earlier
// attempt kept if the provider asks for the very same.
func (c *conversation) answer(ctx context.Context, out abi.Output, body []byte) (step, error) {
	digest, acting := "", false
	if out.Request != nil {
		digest, acting = RequestDigest(out.Request, body), acts(out.Request)
	}
	if len(c.replay) > 0 {
		s := c.replay[0]
		if s.RequestSHA256 != digest {
			return step{}, c.bug(fmt.Sprintf("replay mismatch: step %d is not the request that was performed", len(c.steps)+1))
		}
		s.acts = acting
		return s, nil
	}
	if out.Request == nil {
		return step{Step: abi.Step{Headers: []abi.Header{}}}, c.wait(ctx, time.Duration(min(out.WaitMS, 1<<40))*time.Millisecond)
	}
	if mayKeep(out.Request) {
		c.reused = append(c.reused, digest)
	}
	if s, ok := c.answers.find(out.Request, digest, c.module.cfg.Now()); ok {
		return s, nil
	}
	s, err := c.perform(ctx, out.Request, body)
	s.RequestSHA256, s.acts = digest, acting
	if err == nil {
		c.answers.keep(out.Request, digest, s, c.module.cfg.Now())
	}
	return s, err
}

// wait lets time pass while no instance is held. A wait that cannot end in
// time is not begun.
func (c *conversation) wait(ctx context.Context, d time.Duration) error {
	if left := c.module.cfg.Limits.Conversation - c.module.cfg.Now().Sub(c.began); left < d {
		return &upstream.Error{Kind: upstream.Unavailable, Detail: fmt.Sprintf("the provider wants to wait %v, longer than a conversation may last", d), RetryAfter: d}
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return c.late(ctx.Err())
	}
}

func (c *conversation) late(err error) error {
	return &upstream.Error{Kind: upstream.Unavailable, Detail: fmt.Sprintf("the conversation did not end in time, at step %d", len(c.steps)+1), Err: err}
}

// bug is a failure of the provider itself, with its last words.
func (c *conversation) bug(what string) *upstream.Error {
	detail := fmt.Sprintf("plugin %s, %s: %s", c.name(), c.op, what)
	if word := c.lastWord(); word != "" {
		detail += "; it last said: " + word
	}
	return &upstream.Error{Kind: upstream.Bug, Detail: short(c.secret.clean(detail), maxDetail)}
}

// lastWord is the line of the log that tells most: how a Go runtime says that
// it dies, or else the last one.
func (c *conversation) lastWord() string {
	if c.log == nil {
		return ""
	}
	lines, _ := c.log.Lines()
	for _, l := range lines {
		if strings.HasPrefix(l, "panic:") || strings.HasPrefix(l, "fatal error:") {
			return l
		}
	}
	if len(lines) == 0 {
		return ""
	}
	return lines[len(lines)-1]
}

var kinds = map[string]upstream.Kind{
	abi.KindAccessDenied:        upstream.AccessDenied,
	abi.KindInvalidGrant:        upstream.InvalidGrant,
	abi.KindInvalidScope:        upstream.InvalidScope,
	abi.KindInteractionRequired: upstream.InteractionRequired,
	abi.KindRateLimited:         upstream.RateLimited,
	abi.KindUnavailable:         upstream.Unavailable,
	abi.KindMisconfigured:       upstream.Misconfigured,
	abi.KindBug:                 upstream.Bug,
}

// ended turns the error a provider returned into ours. Whatever is not a bug
// in reading is an answer understood, so it is not kept for another attempt.
func (c *conversation) ended(ctx context.Context, e *abi.Error) error {
	if err := rules.CheckKind(e.Kind); err != nil {
		return c.bug("it returned the " + err.Error())
	}
	kind, message := kinds[e.Kind], e.Message
	if kind == upstream.Unavailable && !e.Certain && !says(e.Detail, "server_error", "temporarily_unavailable") && refusal(c.last()) {
		kind, message = upstream.Misconfigured, "" // its words say to try again
	}
	suspect := c.suspect(kind, e)
	if kind != upstream.Bug {
		if err := c.keep.takeBack(ctx, c); err != nil {
			return &upstream.Error{Kind: upstream.Unavailable, Detail: "the journal could not be changed", Err: err}
		}
	}
	return &upstream.Error{
		Kind:       kind,
		Suspect:    suspect,
		Message:    short(c.secret.clean(message), maxMessage),
		Detail:     short(c.secret.clean(e.Detail), maxDetail),
		RetryAfter: time.Duration(max(0, min(e.RetryAfter, 24*60*60))) * time.Second,
		Lost:       c.lost && kind != upstream.Bug, // a bug's answers are kept
	}
}

// maxMessage bounds what a provider tells the user, which travels in a redirect
// (RFC 6749 §4.1.2.1), and maxDetail what it tells the operator. Both may repeat
// what an upstream sent.
const maxMessage, maxDetail = 512, 4 << 10 // bytes

// short cuts a text that is longer than most bytes.
func short(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// last is the status of the answer that made the provider give up, if it was to
// a request that acts: a token endpoint's. 0: there is none.
func (c *conversation) last() int {
	if n := len(c.steps); n > 0 && c.steps[n-1].acts {
		return c.steps[n-1].Status
	}
	return 0
}

// refusal reports whether a status says that asking the same again does not
// help, whatever is in the answer. What a server may say in passing is not among
// them: 408, 409, 423, 425, 429.
func refusal(status int) bool {
	return status/100 == 3 || slices.Contains([]int{400, 401, 403, 404, 405, 410, 415, 422}, status)
}

// suspect returns what an answer of a token endpoint may be about: some
// upstreams have one word for a refresh token that has ended and for a client
// that is refused, and some answer a refresh token that has ended with a page.
func (c *conversation) suspect(kind upstream.Kind, e *abi.Error) upstream.Suspect {
	status := c.last()
	switch {
	case e.Certain || status == 0 || status >= 500:
		return ""
	case kind == upstream.Unavailable && (status < 300 || refusal(status)) && !says(e.Detail, "temporarily_unavailable"):
		return upstream.SuspectLasting
	case kind != upstream.Misconfigured:
		return ""
	case status == 401 || status/100 == 3 || blamesClient(e.Detail):
		return upstream.SuspectClient
	}
	return upstream.SuspectEither
}

// says reports whether a detail is about one of these codes, as the SDKs write it.
func says(detail string, codes ...string) bool {
	return slices.ContainsFunc(codes, func(code string) bool { return strings.HasPrefix(detail, "upstream says "+code) })
}

// blamesClient reports whether an upstream's words are about our client id or
// secret: invalid_client (RFC 6749 §5.2), or what else is written there by
// servers that have other codes for it, as GitHub's incorrect_client_credentials
// and Keycloak's unauthorized_client.
func blamesClient(detail string) bool {
	words := strings.ReplaceAll(strings.ToLower(detail), "_", " ")
	return slices.ContainsFunc([]string{"invalid client", "client secret", "client credentials", "client authentication"}, func(blame string) bool {
		return strings.Contains(words, blame)
	})
}

// report hands the log of the last run, which holds those of the runs before,
// to the operator's log.
func (c *conversation) report(err error) {
	log := c.module.cfg.Logger
	if !log.IsDebug() {
		return
	}
	log = log.With("plugin", c.name(), "tenant", c.binding.Tenant)
	if c.log != nil {
		lines, lost := c.log.Lines()
		if lost {
			log.Debug("the provider's log is cut at its beginning")
		}
		for _, l := range lines {
			log.Debug("provider: " + c.secret.clean(l))
		}
	}
	log.Debug("conversation ended", "op", c.op, "runs", c.runs, "requests", c.requests, "fuel", c.fuel, "failed", err != nil)
}

package plugins

import (
	"time"

	"github.com/sallyport/sallyport/core/upstream"
)

// Observer is told what plugins do, for counting and keeping. Its methods are
// called from many goroutines and must return soon. No field of an event can
// hold a secret: there is no path, query, header or body in any.
type Observer interface {
	Request(RequestEvent)
	Run(RunEvent)
	Conversation(ConversationEvent)
	Plugin(PluginEvent)
}

// RequestEvent is one request to an upstream, each attempt its own.
type RequestEvent struct {
	Provider, Tenant, Op string
	Host                 string        // host or host:port
	Status               int           // 0: no answer
	Bytes                int           // of the answer's body
	Took                 time.Duration // by the configured clock
	Refused              bool          // it was not sent: a rule forbids it
}

// RunEvent is one run of a guest.
type RunEvent struct {
	Provider, Tenant, Op string
	Fuel                 int64 // spent
	Took                 time.Duration
	Fault                bool // it broke down; its instance is gone
}

// ConversationEvent is one operation of a provider, from its beginning to its
// result or failure.
type ConversationEvent struct {
	Provider, Tenant, Op string
	Outcome              string        // ok, or an upstream.Kind
	Took                 time.Duration // by the configured clock
}

// outcomeOf is the Outcome of a conversation that ended with err.
func outcomeOf(err error) string {
	if err == nil {
		return "ok"
	}
	return string(upstream.KindOf(err))
}

// Changes of a plugin.
const (
	PluginLoaded   = "loaded"   // in service
	PluginSwapped  = "swapped"  // unpinned references moved to it
	PluginRefused  = "refused"  // see Reason; what was there before goes on
	PluginRetired  = "retired"  // no longer in service; running conversations finish
	PluginResting  = "resting"  // it broke down too often and gets no calls for a while, of one tenant or of all
	PluginRecalled = "recalled" // it rested and works again
)

// PluginEvent is a change of what is in service.
type PluginEvent struct {
	Change                string
	Name, Version, Digest string // as far as known
	Tenant                string // of a rest at one tenant; empty: at all
	Path                  string // of a refused file
	Reason                string // one line, of a refusal or a rest
}

type nobody struct{}

func (nobody) Request(RequestEvent) {}
func (nobody) Run(RunEvent)         {}

func (nobody) Conversation(ConversationEvent) {}

func (nobody) Plugin(PluginEvent) {}

// changed tells log and observer of a change of m.
func (m *Module) changed(change, tenant, reason string) {
	log := m.cfg.Logger.Info
	if change == PluginResting {
		log = m.cfg.Logger.Error
	}
	args := []any{"plugin", m.name(), "version", m.manifest.Version, "digest", m.digest}
	if tenant != "" {
		args = append(args, "tenant", tenant)
	}
	if reason != "" {
		args = append(args, "reason", reason)
	}
	log("plugin "+change, args...)
	m.cfg.Observer.Plugin(PluginEvent{Change: change, Name: m.manifest.Name, Version: m.manifest.Version, Digest: m.digest, Tenant: tenant, Reason: reason})
}

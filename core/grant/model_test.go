package grant

import "time"

// model is what a grant should be, written down a second time in plain values.
// Its methods are the design's table of transitions: each says what an
// operation answers and what it makes of the grant, if that is decided on the
// grant as it is, at one moment. A nil next leaves it alone.
type model struct {
	state      State // empty: gone
	generation uint32
	created    time.Time
	rotated    time.Time
	proven     bool // the proof of the used code is there
	expires    time.Time
	stored     time.Time // until when a store keeps the record: an end that is not the grant's own
	credential int       // how often it was renewed
	lease      Lease     // no holder: none
	journal    bool
}

// lifetimes of the model's tenant; so short that a run lives through them.
const (
	codeLife     = 5 * time.Minute
	accessLife   = 24 * time.Hour
	refreshLife  = 30 * 24 * time.Hour
	absoluteLife = 50 * 24 * time.Hour
	reuseWindow  = 2 * time.Minute
)

// pair is what a client was given.
type pair struct {
	access, refresh     string
	generation          uint32
	accessEnds, refEnds time.Time
}

type decision func(m model, at time.Time) (answer string, next *model)

// there runs d on a grant that is in the store.
func there(d decision) decision {
	return func(m model, at time.Time) (string, *model) {
		if m.state == "" || !at.Before(m.stored) {
			return "gone", nil
		}
		return d(m, at)
	}
}

func (m model) over(at time.Time) bool { return !at.Before(m.expires) }

// extended is m with its end moved.
func (m model) extended(at time.Time) *model {
	m.expires = at.Add(refreshLife)
	if last := m.created.Add(absoluteLife); last.Before(m.expires) {
		m.expires = last
	}
	return &m
}

var gone = &model{}

func (w *world) redeems(client string, began time.Time) decision {
	return there(func(m model, at time.Time) (string, *model) {
		switch {
		case client != clientID:
			return "wrong_client", nil
		case m.state != Pending && (!m.proven || at.Sub(m.created) > 10*time.Minute):
			return "code_used", nil
		case m.state != Pending:
			return "code_reuse", gone
		case !began.Before(w.codeEnds):
			return "expired", nil
		case m.over(at):
			return "gone", nil
		}
		m.state, m.generation, m.proven = Active, 1, true
		return "ok", m.extended(at)
	})
}

func refreshes(p pair, client string) decision {
	return there(func(m model, at time.Time) (string, *model) {
		switch {
		case client != clientID:
			return "wrong_client", nil
		case m.state == NeedsLogin:
			return "needs_login", nil
		case m.state != Active:
			return "not_active", nil
		case m.over(at):
			return "gone", nil
		case p.generation == m.generation:
			m.generation++
			m.rotated = at
			m.proven = m.proven && at.Truncate(time.Second).Sub(m.created) <= 10*time.Minute
			return "ok", m.extended(at)
		case p.generation+1 == m.generation && at.Sub(m.rotated) <= reuseWindow:
			return "ok", &m // a repeat is counted
		case p.generation < m.generation:
			return "refresh_reuse", gone
		}
		return "gone", nil
	})
}

func verifies() decision {
	return there(func(m model, at time.Time) (string, *model) {
		switch {
		case m.state == NeedsLogin:
			return "needs_login", nil
		case m.state != Active:
			return "not_active", nil
		case m.over(at):
			return "gone", nil
		}
		return "ok", nil
	})
}

func revokes(client string) decision {
	return there(func(m model, _ time.Time) (string, *model) {
		if client != clientID {
			return "wrong_client", nil
		}
		return "ok", gone
	})
}

// endsAll ends whatever there is, and is content if there is nothing.
func endsAll(model, time.Time) (string, *model) { return "ok", gone }

// endsOne says if there is nothing.
func endsOne() decision {
	return there(func(model, time.Time) (string, *model) { return "ok", gone })
}

// leases claims the lease; dead is the one that was watched standing still.
func leases(holder string, dead *Lease) decision {
	return leased(func(m model, at time.Time) (string, *model) {
		if m.state == NeedsLogin {
			return "needs_login", nil
		}
		if m.lease.Holder != "" && m.lease.Holder != holder && (dead == nil || m.lease != *dead) {
			return "leased", nil
		}
		m.lease = Lease{Holder: holder, Since: at.Unix()}
		return "ok", &m
	})
}

// holds is a step of whoever has the lease.
func holds(holder string, f func(m model) *model) decision {
	return leased(func(m model, _ time.Time) (string, *model) {
		if m.lease.Holder != holder {
			return "lost", nil
		}
		return "ok", f(m)
	})
}

func leased(d decision) decision {
	return there(func(m model, at time.Time) (string, *model) {
		if m.over(at) {
			return "gone", nil
		}
		return d(m, at)
	})
}

func journals(m model) *model { m.journal = true; return &m }
func frees(m model) *model    { m.lease = Lease{}; return &m }
func beats(m model) *model    { m.lease.Beat++; return &m }

// stops is what the upstream's refusal to renew makes of a grant.
func stops(m model) *model {
	m.state, m.lease, m.journal = NeedsLogin, Lease{}, false
	return &m
}

func renews(version int) func(m model) *model {
	return func(m model) *model {
		m.credential, m.lease, m.journal = version, Lease{}, false
		return &m
	}
}

package tenant

import (
	"slices"
	"time"

	"github.com/sallyport/sallyport/core/upstream"
)

// Upstream says which app at which upstream a tenant belongs to. What users
// granted at another one is sent neither to the upstream nor to a backend.
type Upstream struct {
	// Identity is the app in use, if the provider cannot say. Zero: what it
	// describes.
	Identity upstream.Identity
	// Same are identities that mean the same app because the operator says so
	// (formerly), beside those that the provider describes.
	Same []upstream.Identity
	// Periods are the identities that were in force at this tenant, oldest
	// first. A record that names none is of the one in force when it was made.
	Periods []Period
	// WaitUntil ends the time in which clients with a grant of another upstream
	// are told to come back, because the change may be a mistake that the
	// operator undoes. After it they have to log in again.
	WaitUntil time.Time
}

// Period is one identity and when it came into force.
type Period struct {
	Since    time.Time         `json:"since,omitzero"` // zero: from the beginning
	Identity upstream.Identity `json:"identity"`
	// Former is that of upstream.Mark.
	Former upstream.Identity `json:"former,omitempty"`
	// Accepted: the operator decided on the change, or it means the same app.
	Accepted bool `json:"accepted,omitempty"`
}

// Mark returns the mark of what is made in the period.
func (p Period) Mark() upstream.Mark {
	return upstream.Mark{Upstream: p.Identity, Former: p.Former}
}

// UpstreamIdentity returns the identity of the app in use.
func (t *Tenant) UpstreamIdentity() upstream.Identity {
	own, _ := t.identities()
	return own
}

// identityOf is the identity in a description. A provider that gives none is
// known by its name.
func identityOf(d upstream.Description) upstream.Identity {
	if d.Identity != "" {
		return d.Identity
	}
	return upstream.NewIdentity(d.Name, "", "")
}

// SameUpstreams returns the other identities that mean the app in use.
func (t *Tenant) SameUpstreams() []upstream.Identity {
	_, same := t.identities()
	return same
}

// identities returns the identity of the app in use and those that mean it too.
func (t *Tenant) identities() (own upstream.Identity, same []upstream.Identity) {
	if t.Upstream.Identity != "" || t.Provider == nil {
		return t.Upstream.Identity, t.Upstream.Same
	}
	d := t.Provider.Describe()
	return identityOf(d), slices.Concat(t.Upstream.Same, d.Former)
}

// Mark returns the mark of what is made at the tenant now.
func (t *Tenant) Mark() upstream.Mark {
	m := upstream.Mark{Upstream: t.UpstreamIdentity()}
	if t.Upstream.Identity == "" && t.Provider != nil {
		if former := t.Provider.Describe().Former; len(former) > 0 {
			m.Former = former[0]
		}
	}
	return m
}

// Account returns the key of an account of the tenant's upstream.
func (t *Tenant) Account(id string) upstream.AccountKey {
	return upstream.AccountKey{Issuer: t.UpstreamIdentity(), ID: id}
}

// Owner returns whose a record is that was made at some time and has a mark,
// which may be zero, and reports whether that is the tenant's upstream. It
// returns the tenant's own identity for every one that means the same.
func (t *Tenant) Owner(mark upstream.Mark, made time.Time) (owner upstream.Identity, ours bool) {
	own, same := t.identities()
	if mark.Upstream == "" {
		mark.Upstream = own
		for i, p := range t.Upstream.Periods {
			if i == 0 || !made.Before(p.Since) {
				mark = p.Mark()
			}
		}
	}
	if means(mark, own, same) {
		return own, true
	}
	return mark.Upstream, false
}

// means reports whether a mark is that of the app own, or of one that means the
// same.
func means(mark upstream.Mark, own upstream.Identity, same []upstream.Identity) bool {
	return mark.Upstream == own || slices.Contains(same, mark.Upstream) || mark.Former != "" && mark.Former == own
}

// OwnSince reports whether the tenant's upstream has been in force since a time:
// whether what was made after it without naming an identity is of this upstream.
func (t *Tenant) OwnSince(at time.Time) bool {
	own, same := t.identities()
	for i, p := range t.Upstream.Periods {
		ended := i+1 < len(t.Upstream.Periods) && !t.Upstream.Periods[i+1].Since.After(at)
		if !ended && !means(p.Mark(), own, same) {
			return false
		}
	}
	return true
}

package session

import (
	"net/http"
	"time"

	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

// VisitorLife is how long a user who signed in may look and act. It is not
// extended: long enough to tidy up, short enough for a computer that others
// use.
const VisitorLife = 15 * time.Minute

// Visitor is somebody who signed in through the upstream to see their
// connections. Nobody is known from one visit to the next.
type Visitor struct {
	Subject string `json:"sub"`            // the account's stable id at the upstream
	Name    string `json:"name,omitempty"` // for people
	// Mark says whose account it is. A cookie without one was made by a release
	// without identities.
	upstream.Mark
}

// Account returns the visitor's account; the zero value without a visitor.
func (v Visitor) Account() upstream.AccountKey {
	if v.Subject == "" {
		return upstream.AccountKey{}
	}
	return upstream.AccountKey{Issuer: v.Upstream, ID: v.Subject}
}

// maxVisitorName is in bytes: the name travels in a cookie.
const maxVisitorName = 200

// Welcome signs v in, in this browser and for VisitorLife. Nothing is stored:
// the visitor is sealed into a cookie.
func (s *Store) Welcome(w http.ResponseWriter, t *tenant.Tenant, v Visitor) error {
	if len(v.Name) > maxVisitorName {
		v.Name = ""
	}
	text, err := sealValue(s, visitorPurpose(t), v, VisitorLife)
	if err != nil {
		return err
	}
	visitorCookie.set(w, t, t.Name, text, VisitorLife)
	return nil
}

// Visitor returns who is signed in. The zero Visitor is nobody.
func (s *Store) Visitor(r *http.Request, t *tenant.Tenant) Visitor {
	v, _, _ := openValue[Visitor](s, visitorPurpose(t), visitorCookie.read(r, t, t.Name))
	owner, ours := s.owner(t, v.Mark, VisitorLife)
	if v.Subject == "" || !ours { // an account of the upstream that the tenant had before
		return Visitor{}
	}
	v.Upstream = owner
	return v
}

// Farewell signs out.
func (s *Store) Farewell(w http.ResponseWriter, t *tenant.Tenant) { visitorCookie.remove(w, t, t.Name) }

func visitorPurpose(t *tenant.Tenant) seal.Purpose {
	return seal.Purpose{Use: "visitor", Tenant: t.Name}
}

// SealVisit returns the token of a form on a page made for v (or for nobody)
// that counts in this browser only, as SealForm's does.
func (s *Store) SealVisit(w http.ResponseWriter, r *http.Request, t *tenant.Tenant, v Visitor) (string, error) {
	return sealValue(s, formPurpose("visit-form", t, keepFormCookie(w, r, t)), v.form(), t.Lifetimes.Session)
}

// OpenVisit returns who acts by a form with that token: whoever is signed in
// now, if the page was made for the same. Otherwise, and for a form that is too
// old or from elsewhere, it is ErrForm.
func (s *Store) OpenVisit(r *http.Request, t *tenant.Tenant, text string) (Visitor, error) {
	v := s.Visitor(r, t)
	made, err := openForm[string](s, r, "visit-form", t, text)
	if err != nil || made != v.form() {
		return Visitor{}, ErrForm
	}
	return v, nil
}

// form is what a form of v's is sealed with.
func (v Visitor) form() string {
	if v.Subject == "" {
		return ""
	}
	return v.Account().Hash()
}

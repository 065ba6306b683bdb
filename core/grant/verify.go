package grant

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"time"

	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/tenant"
)

// Remember makes the Store keep for ttl which grants it has seen and which
// access tokens it has verified. A grant that ends or changes in this process
// is never seen as it was; one that another process ends is, until Forget is
// told of it, or for ttl at most. It is called before the Store is used.
func (s *Store) Remember(ttl time.Duration) *Store {
	s.records.Remember(ttl, s.now)
	s.before.ttl = ttl
	return s
}

// Forget is for store.Follow.
func (s *Store) Forget(key string) {
	if key == "" || key == notBeforeKey {
		s.before.drop()
	}
	if key == notBeforeKey {
		s.notBeforeChanged()
		return
	}
	s.records.Forget(key)
}

// Watch has f called with the tenant and the id of each grant that may have ended,
// here or in another process that announced it, and with empty names when any
// grant of any tenant may have. It is called before the store is used, and f
// returns at once.
func (s *Store) Watch(f func(tenantName, id string)) {
	s.watch = f
	s.records.Watch(func(key string) {
		if _, rest, ok := strings.Cut(key, "/"); ok && strings.HasPrefix(key, "grant/") {
			tenantName, id, _ := strings.Cut(rest, "/")
			f(tenantName, id)
		}
	})
}

func (s *Store) notBeforeChanged() {
	if s.watch != nil {
		s.watch("", "")
	}
}

// verified is what was found out about one access token at one tenant.
type verified struct {
	live   *Live
	tenant *tenant.Tenant // as it is configured now: never another one, nor a later configuration
	ends   time.Time      // of the token or the grant, whichever is first
	before *notBefore     // that the grant was compared with
}

// Verify opens an access token and reads its grant. Of a token that is
// remembered it checks once more whether its time is over and whether the times
// of RevokeBefore are those it was compared with, and nothing else.
func (s *Store) Verify(ctx context.Context, t *tenant.Tenant, accessToken string) (*Live, error) {
	// A token is remembered by its hash, so that the time a search takes tells
	// nothing about tokens that are.
	name, ok := tokenName(accessToken)
	if ok {
		if v, _ := s.records.Attached(name).(*verified); v != nil && v.tenant == t && s.now().Before(v.ends) && v.before == s.before.fresh() {
			return v.live, nil
		}
	}
	tok, err := s.open(Access, t.Name, accessToken)
	if err != nil {
		return nil, err
	}
	before, err := s.before.get(ctx)
	if err != nil {
		return nil, err
	}
	var l *Live
	err = s.look(ctx, t, tok.id(), func(version *store.Version[Record]) (err error) {
		if l, err = s.verify(t, tok, &version.Value, before); err != nil {
			return err
		}
		v := &verified{live: l, tenant: t, ends: tok.expires, before: before}
		if ends := l.Record.ends(t); ends.Before(v.ends) {
			v.ends = ends
		}
		s.records.Attach(version, name, v)
		return nil
	})
	return l, err
}

// Stands reports whether the grant of l has not ended. Errors are a *Refusal and
// the store's. The token that l was verified with may have expired.
func (s *Store) Stands(ctx context.Context, t *tenant.Tenant, l *Live) error {
	before, err := s.before.get(ctx)
	if err != nil {
		return err
	}
	return s.look(ctx, t, l.ID, func(version *store.Version[Record]) error {
		if version.Value.State == NeedsLogin {
			return refuse(LoginRequired)
		}
		if err := s.ended(t, &version.Value, before); err != nil {
			return err
		}
		checked := version.Value
		return s.claim(t, &checked)
	})
}

// look shows f a record, and if f refuses one that is merely remembered, the one
// that is there: another process may have redeemed its code since.
func (s *Store) look(ctx context.Context, t *tenant.Tenant, id string, f func(*store.Version[Record]) error) error {
	version, remembered, err := s.records.Read(ctx, t.Name, id)
	if err == nil {
		err = f(version)
	}
	if remembered && (ReasonOf(err) != "" || errors.Is(err, store.ErrNotFound)) {
		if version, err = s.records.Anew(ctx, t.Name, id); err == nil {
			err = f(version)
		}
	}
	if errors.Is(err, store.ErrNotFound) {
		return refuse(Gone)
	}
	return err
}

// verify holds a record to an access token that is open.
func (s *Store) verify(t *tenant.Tenant, tok token, rec *Record, before *notBefore) (*Live, error) {
	switch ended := s.ended(t, rec, before); {
	case rec.State == NeedsLogin:
		return nil, refuse(LoginRequired)
	case rec.State != Active:
		return nil, refuse(NotActive)
	case ended != nil:
		return nil, ended
	case !t.Accepts(rec.Resource):
		return nil, refuse(WrongResource)
	}
	checked := *rec // a version that is remembered is shared
	if err := s.claim(t, &checked); err != nil {
		return nil, err
	}
	rec = &checked
	l, err := s.live(t, tok, *rec)
	if err != nil {
		return nil, err
	}
	l.Token.Expires = tok.expires
	if tok.generation == rec.Generation {
		l.Token.Issued = rec.LastUsed
	}
	return l, nil
}

// tokenName hashes a token, without allocating, if it is as long as ours are.
func tokenName(text string) (store.Name, bool) {
	var b [tokenLength]byte
	if copy(b[:], text) != len(text) || len(text) != tokenLength {
		return store.Name{}, false
	}
	return sha256.Sum256(b[:]), true
}

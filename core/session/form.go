package session

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"

	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/tenant"
)

// sealed is a value on its way through somebody else's hands.
type sealed[T any] struct {
	Value   T     `json:"value"`
	Expires int64 `json:"expires"`
}

func sealValue[T any](s *Store, p seal.Purpose, v T, life time.Duration) (string, error) {
	plain, err := json.Marshal(sealed[T]{Value: v, Expires: s.now().Add(life).Unix()})
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(s.keys.Seal(p, plain)), nil
}

// openValue returns what sealValue sealed for the same purpose, unless its time
// is over, and the hash of the bytes it came in.
func openValue[T any](s *Store, p seal.Purpose, text string) (v T, sum string, ok bool) {
	var none T
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return none, "", false
	}
	plain, err := s.keys.Open(p, raw)
	if err != nil {
		return none, "", false
	}
	var got sealed[T]
	if err := json.Unmarshal(plain, &got); err != nil || s.now().Unix() >= got.Expires {
		return none, "", false
	}
	return got.Value, hash(string(raw)), true
}

// SealForm returns req in a form that opens only in this browser: half of its
// key is a cookie, which SealForm sets if the browser has none. That makes the
// form its own defence against cross-site posts, and a second tab does not
// spoil the first.
func (s *Store) SealForm(w http.ResponseWriter, r *http.Request, t *tenant.Tenant, req Request) (string, error) {
	return sealValue(s, formPurpose("authorize-form", t, keepFormCookie(w, r, t)), req, t.Lifetimes.Session)
}

// OpenForm returns the request that SealForm sealed for this browser, or
// ErrForm.
func (s *Store) OpenForm(r *http.Request, t *tenant.Tenant, text string) (Request, error) {
	return openForm[Request](s, r, "authorize-form", t, text)
}

func openForm[T any](s *Store, r *http.Request, use string, t *tenant.Tenant, text string) (T, error) {
	// A form from another site comes without the cookie (SameSite=Lax). Current
	// browsers say themselves where it is from.
	site := r.Header.Get("Sec-Fetch-Site")
	half := formCookie.read(r, t, "")
	v, _, ok := openValue[T](s, formPurpose(use, t, half), text)
	if !ok || half == "" || site != "" && site != "same-origin" {
		var none T
		return none, ErrForm
	}
	return v, nil
}

func formPurpose(use string, t *tenant.Tenant, half string) seal.Purpose {
	return seal.Purpose{Use: use, Tenant: t.Name, Secret: seal.NewSecret(half)}
}

// keepFormCookie returns this browser's half of the key of its forms, which it
// keeps for as long as a form made now counts.
func keepFormCookie(w http.ResponseWriter, r *http.Request, t *tenant.Tenant) string {
	half := formCookie.read(r, t, "")
	if half == "" {
		half = seal.RandomID(16)
	}
	formCookie.set(w, t, "", half, t.Lifetimes.Session)
	return half
}

package session

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/tenant"
)

// PushedLife is how long a pushed request waits for its user: the time a client
// needs to open a browser (RFC 9126 §2.2).
const PushedLife = 90 * time.Second

const (
	pushedPrefix = "urn:ietf:params:oauth:request_uri:" // RFC 9126 §2.2
	maxPushed    = 4096                                 // characters of a request_uri: it travels in a URL
)

var (
	// ErrPushed says that a request_uri was not made here, not for this client
	// and tenant, or too long ago. Nothing is known of it then, least of all
	// where to send an answer.
	ErrPushed = oauth.Errorf(oauth.InvalidRequestURI, "This login was started too long ago, or not by this application.")
	// ErrSpent says that a pushed request was approved before.
	ErrSpent = oauth.Errorf(oauth.InvalidRequestURI, "This login was approved before, perhaps in another window.")
)

// usedPush is the record of a pushed request that was approved,
// pushed/<tenant>/<hash of the request_uri>. That it is there says all.
type usedPush struct{}

// SealPushed returns the request_uri that stands for req. Nothing is stored: it
// is the request, sealed for its tenant and client.
func (s *Store) SealPushed(t *tenant.Tenant, req Request) (string, error) {
	purpose := pushedPurpose(t, req.ClientID)
	req.ClientID = "" // long, comes along at /authorize, and is in the purpose
	text, err := sealValue(s, purpose, req, PushedLife)
	if err != nil {
		return "", err
	}
	uri := pushedPrefix + text
	if len(uri) > maxPushed {
		return "", &oauth.Error{
			Code: oauth.InvalidRequest, Status: http.StatusRequestEntityTooLarge, // RFC 9126 §2.3
			Description: "the request is too large to be pushed; a long state is the usual reason",
		}
	}
	return uri, nil
}

// OpenPushed returns the request that a client pushed, or ErrPushed. It can be
// opened as often as a page is loaded; Login uses it up.
func (s *Store) OpenPushed(t *tenant.Tenant, clientID, uri string) (Request, error) {
	text, ours := strings.CutPrefix(uri, pushedPrefix)
	req, sum, ok := openValue[Request](s, pushedPurpose(t, clientID), text)
	if !ours || !ok {
		return Request{}, ErrPushed
	}
	req.ClientID, req.Pushed = clientID, sum
	return req, nil
}

func pushedPurpose(t *tenant.Tenant, clientID string) seal.Purpose {
	return seal.Purpose{Use: "pushed-request", Tenant: t.Name, Record: clientID}
}

// spend uses a pushed request up. The record stays for as long as a consent
// form made from the request may be approved.
func (s *Store) spend(ctx context.Context, t *tenant.Tenant, req Request) error {
	if req.Pushed == "" {
		return nil
	}
	err := s.used.Create(ctx, t.Name, req.Pushed, usedPush{}, PushedLife+t.Lifetimes.Session)
	switch {
	case errors.Is(err, store.ErrConflict):
		return ErrSpent
	case err != nil:
		return oauth.Unavailable(err)
	}
	return nil
}

package sdktest_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/oauth2"
	"github.com/sallyport/sallyport/sdk/sdktest"
)

const (
	idClaims = `{"iss":"https://id.test","aud":"ourid","exp":4102444800,"sub":"u-1"}`
	secretID = "signature-of-the-upstream"
)

// live is an upstream on loopback. It wants everything that a host adds to a
// request, and says everything that a transcript must not keep.
func live(t *testing.T, auth string) *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		user, password, basic := r.BasicAuth()
		var ok bool
		switch auth {
		case sdk.ClientSecretBasic:
			ok = basic && user == "ourid" && password == "our%2Fsecret"
		case sdk.ClientSecretUser:
			ok = basic && user == "our/secret" && password == ""
		case sdk.ClientSecretPost:
			ok = !basic && r.FormValue("client_id") == "ourid" && r.FormValue("client_secret") == "our/secret"
		case sdk.ClientPublic:
			ok = !basic && r.FormValue("client_id") == "ourid" && !r.Form.Has("client_secret")
		}
		if !ok || r.FormValue("code") != "real/code" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Set-Cookie", "session=hidden-cookie")
		b64 := base64.RawURLEncoding
		id := b64.EncodeToString([]byte(`{"alg":"RS256"}`)) + "." + b64.EncodeToString([]byte(idClaims)) + "." + secretID
		fmt.Fprintf(w, `{"access_token":"real/access+token","refresh_token":"real refresh","expires_in":60,"id_token":%q,"echo":"our/secret"}`, id)
	})
	mux.HandleFunc("GET /me", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer real/access+token" {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
			return
		}
		fmt.Fprint(w, `{"sub":"u-1","name":"Una"}`)
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv
}

func recorded(t *testing.T, auth string) (string, error) {
	t.Helper()
	srv := live(t, auth)
	p := &oauth2.Provider{
		Info: sdk.Manifest{Name: "live", Version: "1", Hosts: []string{"{settings.base}"}},
		Config: oauth2.Config{
			AuthorizeURL: "{settings.base}/authorize", TokenURL: "{settings.base}/token", UserinfoURL: "{settings.base}/me",
			Issuer: "https://id.test", ClientAuth: auth, Identity: oauth2.Identity{Userinfo: true},
		},
	}
	opening := "A live login.\n-- call --\nop: exchange\nprivate-host: " + strings.TrimPrefix(srv.URL, "http://") + "\nclient: ourid https://gw.test/cb\nsettings: {\"base\": \"" + srv.URL + "\"}\n\n" +
		`{"query": [["code", "real/code"], ["state", "st"]]}` + "\n"
	return sdktest.Recorder{Client: srv.Client(), ClientSecret: "our/secret"}.Record(t.Context(), p, opening)
}

func TestRecord(t *testing.T) {
	for _, auth := range []string{sdk.ClientSecretPost, sdk.ClientSecretBasic, sdk.ClientSecretUser, sdk.ClientPublic} {
		text, err := recorded(t, auth)
		if err != nil {
			t.Errorf("%s: %v", auth, err)
			continue
		}
		for _, secret := range []string{"real/", "real%2F", "real refresh", "our/secret", "hidden-cookie", secretID} {
			if strings.Contains(text, secret) {
				t.Errorf("%s: the transcript keeps %q:\n%s", auth, secret, text)
			}
		}
		for _, want := range []string{"&code=code-1\n", `"access_token":"access-token-1"`, "authorization: Bearer access-token-1", `"id": "u-1"`, "auth: " + auth + "\n"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: the transcript has no %q:\n%s", auth, want, text)
			}
		}
	}
}

// refusing is a network that must not be asked.
type refusing struct{ t *testing.T }

func (r refusing) RoundTrip(req *http.Request) (*http.Response, error) {
	r.t.Errorf("%s was asked", req.URL)
	return nil, http.ErrServerClosed
}

func TestRecordRefuses(t *testing.T) {
	if text, err := recorded(t, sdk.PrivateKeyJWT); err == nil || !strings.Contains(err.Error(), "private_key_jwt") {
		t.Errorf("%v\n%s", err, text)
	}
	silent := &http.Client{Transport: refusing{t}}
	for _, opening := range []string{"", transcript, "-- call --\nop: exchange\n\n" + `{"query": [["code", "abc"]]}`} {
		if text, err := (sdktest.Recorder{Client: silent}).Record(t.Context(), provider(), opening); err == nil {
			t.Errorf("accepted:\n%s", text)
		}
	}
}

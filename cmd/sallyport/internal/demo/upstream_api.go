package demo

import (
	"net/http"
	"strings"
)

// Profile is what UserinfoPath and MePath answer.
type Profile struct {
	Sub   string `json:"sub"`
	Name  string `json:"name"`
	Email string `json:"email"`
}

// Playlists is what PlaylistsPath answers.
type Playlists struct {
	Owner     string     `json:"owner"` // sub of the user
	Playlists []Playlist `json:"playlists"`
}

func profile(user User) any { return Profile{user.Sub, user.Name, user.Email} }

func playlists(user User) any { return Playlists{user.Sub, user.Playlists} }

// withUser answers with the data of the user whose bearer token the request
// carries, and 401 without one (RFC 6750 §3).
func (u *Upstream) withUser(data func(User) any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		user, ok := u.bearer(r)
		if !ok {
			w.Header().Set("WWW-Authenticate", `Bearer realm="Demo Music", error="invalid_token"`)
			writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "invalid_token"})
			return
		}
		writeJSON(w, http.StatusOK, data(user))
	}
}

func (u *Upstream) bearer(r *http.Request) (User, bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return User{}, false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	t := u.access[token]
	if t == nil || !u.now().Before(t.expires) {
		return User{}, false
	}
	u.stats.Calls++
	return u.users[t.user], true
}

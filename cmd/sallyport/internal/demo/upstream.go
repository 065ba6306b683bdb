package demo

import (
	"embed"
	"html/template"
	"net/http"
	"sync"
	"time"
)

// The paths of the upstream, below its base URL.
const (
	AuthorizePath = "/oauth/authorize"
	TokenPath     = "/oauth/token"
	RevokePath    = "/oauth/revoke"
	UserinfoPath  = "/userinfo"
	MePath        = "/api/me"
	PlaylistsPath = "/api/playlists"
)

// App is an OAuth client registered at the upstream. Each Sallyport tenant
// wants one of its own, because an app has one redirect URI.
type App struct {
	ID          string
	Secret      string
	Name        string // shown on the login page
	RedirectURI string // compared as a string, RFC 9700 §2.1
}

// User is somebody who can log in at the upstream.
type User struct {
	Sub       string // stable identifier; never an e-mail address
	Login     string // what the login page asks for
	Name      string
	Email     string
	Playlists []Playlist
}

// Playlist is the data the demo is about.
type Playlist struct {
	ID     string `json:"id"`
	Title  string `json:"title"`
	Tracks int    `json:"tracks"`
}

// Users returns the people every demo upstream knows: ada, grace and alan.
func Users() []User {
	return []User{
		{Sub: "u-1815", Login: "ada", Name: "Ada", Email: "ada@music.example",
			Playlists: []Playlist{{"p-1", "Music for engines", 12}, {"p-2", "Note G", 25}}},
		{Sub: "u-1906", Login: "grace", Name: "Grace", Email: "grace@music.example",
			Playlists: []Playlist{{"p-3", "Songs with a moth in them", 9}}},
		{Sub: "u-1912", Login: "alan", Name: "Alan", Email: "alan@music.example",
			Playlists: []Playlist{{"p-4", "Will it end?", 101}, {"p-5", "Long runs", 26}}},
	}
}

// UpstreamConfig says what an Upstream is made of.
type UpstreamConfig struct {
	Apps  []App
	Users []User // nil: Users()

	// TokenLifetime is how long an access token lasts; it is announced in whole
	// seconds. Zero means one minute, so that refreshing is seen.
	TokenLifetime time.Duration

	Now func() time.Time // nil: time.Now
}

// Stats counts what an Upstream was asked to do since it was made.
type Stats struct {
	Logins      int // login forms submitted with a user chosen
	Exchanges   int // codes exchanged for tokens
	Refreshes   int // refresh tokens exchanged for tokens
	Refused     int // token requests answered with an error
	Revocations int // tokens revoked
	Calls       int // API calls answered with data
}

// Upstream is "Demo Music": a small OAuth 2.0 service with a login page and an
// API. Refresh tokens are single use: each refresh answers a new one, and a used
// one answers invalid_grant. It is an http.Handler and safe for concurrent use.
type Upstream struct {
	apps     map[string]App
	users    map[string]User // by login
	logins   []User          // in the order of the page
	lifetime time.Duration
	now      func() time.Time
	mux      *http.ServeMux
	pages    *template.Template

	mu      sync.Mutex
	codes   map[string]*authCode
	access  map[string]*accessToken
	refresh map[string]*authorization
	stats   Stats
}

//go:embed templates
var templates embed.FS

// NewUpstream returns an upstream for the given apps.
func NewUpstream(cfg UpstreamConfig) *Upstream {
	u := &Upstream{
		apps:     make(map[string]App),
		users:    make(map[string]User),
		logins:   cfg.Users,
		lifetime: cfg.TokenLifetime,
		now:      cfg.Now,
		pages:    template.Must(template.ParseFS(templates, "templates/*.html")),
		codes:    make(map[string]*authCode),
		access:   make(map[string]*accessToken),
		refresh:  make(map[string]*authorization),
	}
	if u.logins == nil {
		u.logins = Users()
	}
	if u.lifetime == 0 {
		u.lifetime = time.Minute
	}
	if u.now == nil {
		u.now = time.Now
	}
	for _, app := range cfg.Apps {
		u.apps[app.ID] = app
	}
	for _, user := range u.logins {
		u.users[user.Login] = user
	}
	u.mux = u.routes()
	return u
}

func (u *Upstream) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+AuthorizePath, u.showLogin)
	mux.HandleFunc("POST "+AuthorizePath, u.submitLogin)
	mux.HandleFunc("POST "+TokenPath, u.serveToken)
	mux.HandleFunc("POST "+RevokePath, u.serveRevoke)
	mux.HandleFunc("GET "+UserinfoPath, u.withUser(profile))
	mux.HandleFunc("GET "+MePath, u.withUser(profile))
	mux.HandleFunc("GET "+PlaylistsPath, u.withUser(playlists))
	mux.HandleFunc("GET /style.css", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, templates, "templates/style.css")
	})
	return mux
}

// ServeHTTP implements http.Handler.
func (u *Upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) { u.mux.ServeHTTP(w, r) }

// Stats returns the counters.
func (u *Upstream) Stats() Stats {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.stats
}

// ExpireAccessTokens ends every access token now, as if its time had passed.
// Refresh tokens stay good.
func (u *Upstream) ExpireAccessTokens() {
	u.mu.Lock()
	defer u.mu.Unlock()
	clear(u.access)
}

package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/store"
)

// Config is what a server answers operators with.
type Config struct {
	Records *Records
	Store   store.Driver
	Log     hclog.Logger
	Now     func() time.Time // nil: time.Now

	// Server describes the server. CheckStore runs the start check. Tenants and
	// Plugins list what is in service; what they return is sent as JSON.
	Server     func() Server
	CheckStore func(context.Context) (StoreState, error)
	Tenants    func(context.Context) (any, error)
	Plugins    func(context.Context) (any, error)
	// Accept applies the change that waits for a tenant; what it returns is sent
	// as JSON. nil: no change ever waits.
	Accept func(ctx context.Context, tenantName string) (any, error)
}

// maxRequest bounds the body of a request in bytes.
const maxRequest = 64 << 10

// Handler answers the requests of Remote. It takes who asks from the context,
// see ConnContext, and refuses every other user than this process's and root.
func Handler(cfg Config) http.Handler {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	h := &handler{cfg}
	mux := http.NewServeMux()
	get := func(path string, f func(context.Context) (any, error)) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) { answer(w, r, f) })
	}
	get(pathServer, func(context.Context) (any, error) { return cfg.Server(), nil })
	get(pathTenants, cfg.Tenants)
	get(pathPlugins, cfg.Plugins)
	mux.HandleFunc("POST "+pathCheckStore, func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, func(ctx context.Context) (any, error) { return cfg.CheckStore(ctx) })
	})
	mux.HandleFunc("POST "+pathGrants, h.grants)
	mux.HandleFunc("POST "+pathBackup, h.backup)
	mux.HandleFunc("POST "+pathAccept, post(h, h.accept))
	mux.HandleFunc("POST "+pathRevoke, post(h, func(ctx context.Context, o Operations, v Revocation) (any, error) { return o.Revoke(ctx, v) }))
	mux.HandleFunc("POST "+pathClients, post(h, func(ctx context.Context, o Operations, c ClientRef) (any, error) { return o.Clients(ctx, c.Tenant) }))
	mux.HandleFunc("POST "+pathBlock, post(h, func(ctx context.Context, o Operations, c ClientRef) (any, error) { return o.Block(ctx, c) }))
	mux.HandleFunc("POST "+pathUnblock, post(h, func(ctx context.Context, o Operations, c ClientRef) (any, error) { return o.Unblock(ctx, c) }))
	return h.admit(mux)
}

// The paths of the socket's API. Bodies are JSON.
const (
	pathServer     = "/v1/server"
	pathTenants    = "/v1/tenants"
	pathAccept     = "/v1/tenants/accept"
	pathPlugins    = "/v1/plugins"
	pathGrants     = "/v1/grants"
	pathRevoke     = "/v1/grants/revoke"
	pathClients    = "/v1/clients"
	pathBlock      = "/v1/clients/block"
	pathUnblock    = "/v1/clients/unblock"
	pathCheckStore = "/v1/store/check"
	pathBackup     = "/v1/store/backup"
)

type handler struct{ Config }

type actorKey struct{}

// ConnContext is for http.Server: it puts the process at the other end of a
// connection into the context.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	a, err := peer(c)
	if err != nil {
		return ctx // admit refuses
	}
	return context.WithValue(ctx, actorKey{}, a)
}

// admit refuses processes of other users.
func (h *handler) admit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, ok := r.Context().Value(actorKey{}).(Actor)
		if own := os.Geteuid(); !ok || a.UID != own && a.UID != 0 {
			h.Log.Warn("an admin request of another user was refused", "uid", a.UID, "known", ok)
			refuse(w, http.StatusForbidden, fmt.Sprintf("%v may not use this socket; run the command as uid %d or root", a, own))
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
		next.ServeHTTP(w, r)
	})
}

// actor returns who asks.
func actor(ctx context.Context) Actor {
	a, _ := ctx.Value(actorKey{}).(Actor)
	return a
}

func refuse(w http.ResponseWriter, status int, text string) {
	oauth.WriteJSON(w, status, map[string]string{"error": text})
}

// fail answers with the text of an error.
func fail(w http.ResponseWriter, err error) {
	if wrong, ok := errors.AsType[*RequestError](err); ok {
		refuse(w, http.StatusBadRequest, wrong.Text)
		return
	}
	refuse(w, http.StatusInternalServerError, err.Error())
}

func answer(w http.ResponseWriter, r *http.Request, f func(context.Context) (any, error)) {
	out, err := f(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	oauth.WriteJSON(w, http.StatusOK, out)
}

// post runs an operation on the body of a request.
func post[In any](h *handler, f func(context.Context, Operations, In) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in In
		if !read(w, r, &in) {
			return
		}
		answer(w, r, func(ctx context.Context) (any, error) { return f(ctx, h.Records.For(actor(ctx)), in) })
	}
}

// read decodes the body of a request, or answers that it cannot.
func read(w http.ResponseWriter, r *http.Request, in any) bool {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(in); err != nil {
		refuse(w, http.StatusBadRequest, "the request cannot be read: "+err.Error()+"; the command and the server may be of different versions")
		return false
	}
	return true
}

func (h *handler) accept(ctx context.Context, _ Operations, c ClientRef) (any, error) {
	if h.Accept == nil {
		return nil, &RequestError{"no change waits"}
	}
	out, err := h.Accept(ctx, c.Tenant)
	if err == nil {
		h.Records.Audit.Record(ctx, audit.Event{Action: audit.TenantAccepted, Tenant: c.Tenant, Operator: actor(ctx).String()})
	}
	return out, err
}

// line is one line of an answer that may be long. The last one has Done or
// Error, so that an answer that was cut off is noticed.
type line struct {
	Grant      *Grant         `json:"grant,omitempty"`
	Record     *storedRecord  `json:"record,omitempty"`
	Unreadable map[string]int `json:"unreadable,omitempty"`
	Done       bool           `json:"done,omitempty"`
	Error      string         `json:"error,omitempty"`
	Wrong      bool           `json:"wrong,omitempty"` // Error is a RequestError
}

// storedRecord is a record of a store in a backup.
type storedRecord struct {
	Key   string        `json:"key"`
	Value []byte        `json:"value"`
	TTL   time.Duration `json:"ttl"`
}

func (h *handler) grants(w http.ResponseWriter, r *http.Request) {
	var only GrantFilter
	if !read(w, r, &only) {
		return
	}
	h.lines(w, func(put func(line) error) (line, error) {
		unreadable, err := h.Records.For(actor(r.Context())).Grants(r.Context(), only, func(g Grant) error { return put(line{Grant: &g}) })
		return line{Unreadable: unreadable}, err
	})
}

// lines answers with one JSON object a line.
func (h *handler) lines(w http.ResponseWriter, f func(put func(line) error) (last line, err error)) {
	w.Header().Set("Content-Type", typeLines)
	out := json.NewEncoder(&patient{w: w, c: http.NewResponseController(w), now: h.Now})
	last, err := f(func(l line) error { return out.Encode(l) })
	last.Done = err == nil
	if err != nil {
		last.Error, last.Wrong = err.Error(), errors.As(err, new(*RequestError))
	}
	if err := out.Encode(last); err != nil {
		panic(http.ErrAbortHandler) // the reader is gone
	}
}

// The media types of answers: of a backup, typeFile is the file itself and
// typeLines its records.
const (
	typeFile  = "application/octet-stream"
	typeLines = "application/x-ndjson"
)

// backup answers with the whole store: as the file that a store makes of
// itself, or record by record.
func (h *handler) backup(w http.ResponseWriter, r *http.Request) {
	ctx, who := r.Context(), actor(r.Context())
	if err := h.Records.Audit.Check(); err != nil {
		h.Log.Error("the store is not backed up", "error", err)
		refuse(w, http.StatusServiceUnavailable, err.Error()+"; mend the audit log and ask again")
		return
	}
	h.Log.Info("the store is backed up", "by", who.String())
	h.Records.Audit.Record(ctx, audit.Event{Action: audit.BackedUp, Operator: who.String()})
	switch d := h.Config.Store.(type) {
	case store.Backuper:
		w.Header().Set("Content-Type", typeFile)
		if err := d.Backup(ctx, &patient{w: w, c: http.NewResponseController(w), now: h.Now}); err != nil {
			h.Log.Error("the backup failed", "error", err)
			panic(http.ErrAbortHandler) // so that the end of the answer is missing
		}
	case store.Exporter:
		h.lines(w, func(put func(line) error) (line, error) {
			return line{}, d.Export(ctx, func(rec store.Record) error {
				return put(line{Record: &storedRecord{rec.Key, rec.Value, rec.TTL}})
			})
		})
	default:
		refuse(w, http.StatusNotImplemented, "this kind of store cannot be backed up")
	}
}

// patient writes an answer that may take long, but allows each piece 30 seconds
// only: during a backup a store keeps what it deletes.
type patient struct {
	w   http.ResponseWriter
	c   *http.ResponseController
	now func() time.Time
}

func (p *patient) Write(b []byte) (int, error) {
	if err := p.c.SetWriteDeadline(p.now().Add(30 * time.Second)); err != nil {
		return 0, err
	}
	return p.w.Write(b)
}

package main

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sallyport/sallyport/core/admin"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/plugins"
)

// newReplica returns a name for this process among those that share a store.
func newReplica() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "sallyport"
	}
	return host + "-" + strings.ToLower(seal.RandomID(6))
}

const noSocket = "no admin socket: commands such as grant list cannot ask this server; set server/admin_socket to a path that this user can use, or to off"

// checkAdmin warns of an admin socket that serve could not open. It makes
// nothing.
func (d *deployment) checkAdmin(ctx context.Context) {
	path := d.cfg.SocketPath()
	if path == "" {
		return
	}
	if _, _, err := admin.Dial(ctx, path); err == nil {
		return // the running server has opened it, perhaps as another user
	}
	err := admin.Check(path)
	if folder := filepath.Dir(path); err == nil {
		if _, missing := os.Stat(folder); errors.Is(missing, fs.ErrNotExist) {
			err = d.canHold(filepath.Dir(folder))
		}
	}
	if err != nil {
		d.warned = append(d.warned, noSocket+": "+err.Error())
	}
}

// canHold reports whether serve can make something in a folder, which may be one
// that it makes for the store's file.
func (d *deployment) canHold(folder string) error {
	err := writable(folder)
	if file, ok := boltFile(d.cfg.Store); ok && errors.Is(err, fs.ErrNotExist) && filepath.Dir(file) == folder {
		return nil
	}
	return err
}

// serveAdmin answers the operator's commands at the admin socket until the
// returned function is called. A socket that cannot be opened is a warning: the
// server is useful without it.
func (d *deployment) serveAdmin(ctx context.Context) (stop func()) {
	path := d.cfg.SocketPath()
	if path == "" {
		return func() {}
	}
	socket, err := admin.Listen(ctx, path)
	if err != nil {
		d.log.Warn(noSocket, "error", err)
		return func() {}
	}
	d.log.Info("admin socket", "path", path, "replica", d.replica)
	s := &http.Server{
		Handler: admin.Handler(d.adminConfig()), ConnContext: admin.ConnContext, ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: d.log.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
	}
	return inBackground(ctx, func(ctx context.Context) {
		end := context.AfterFunc(ctx, func() { _ = s.Close() })
		defer end()
		if err := s.Serve(socket); !errors.Is(err, http.ErrServerClosed) {
			d.log.Warn("the admin socket failed", "error", err)
		}
		_ = socket.Close()
	})
}

func (d *deployment) adminConfig() admin.Config {
	return admin.Config{
		Records: &admin.Records{
			Store: d.server.Grants(), Clients: d.server.Clients(), Audit: d.audit,
			Tenant: func(name string) *tenant.Tenant { return d.server.Tenants().Get(name) },
			Names:  func() []string { return d.server.Tenants().Names() },
		},
		Store: d.store, Log: d.log,
		Server: func() admin.Server {
			return admin.Server{Replica: d.replica, Version: version(), Tenants: d.server.Tenants().Len()}
		},
		CheckStore: d.checkStore,
		Tenants:    func(context.Context) (any, error) { return d.servedTenants(), nil },
		Accept:     d.accept,
		Plugins:    func(context.Context) (any, error) { return d.servedPlugins(), nil },
	}
}

// checkStore is the start check of the store that this server uses.
func (d *deployment) checkStore(ctx context.Context) (admin.StoreState, error) {
	warnings, err := store.Prove(ctx, d.store)
	return admin.StoreState{Place: storePlace(d.cfg.Store), Warnings: warnings}, err
}

// listedTenant is a row of tenant list.
type listedTenant struct {
	Tenant   string `json:"tenant"`
	Name     string `json:"name"`
	URL      string `json:"url"` // what users paste into a client
	Issuer   string `json:"issuer"`
	Provider string `json:"provider"`
	Backend  string `json:"backend,omitempty"`
	Down     string `json:"down,omitempty"`     // why its address answers 503
	Upstream string `json:"upstream,omitempty"` // identity of the app in use
	// Waiting is a change of upstream that the operator has to decide on.
	Waiting *waitingChange `json:"waiting,omitempty"`
}

// servedTenants lists the tenants that this server serves.
func (d *deployment) servedTenants() []listedTenant {
	all := []listedTenant{}
	set, undecided := d.server.Tenants(), d.undecided()
	for _, name := range set.Names() {
		t := set.Get(name)
		row := listedTenant{
			Tenant: name, Name: t.DisplayName, URL: cmp.Or(t.External, t.Issuer+tenant.MCPPath), Issuer: t.Issuer, Provider: t.Provider.Describe().Name,
		}
		row.Down = t.Down
		row.Upstream = string(t.UpstreamIdentity())
		if c, ok := undecided[name]; ok {
			row.Waiting = &c
		}
		if t.Backend != nil && t.Down == "" {
			row.Backend = t.Backend.String()
		}
		all = append(all, row)
	}
	return all
}

// servedPlugins lists the plugins that are in service here, and the files that
// are refused.
func (d *deployment) servedPlugins() []listed {
	users := map[string][]string{} // digest → tenants
	set := d.server.Tenants()
	for _, name := range set.Names() {
		digest := set.Get(name).Provider.Describe().Digest
		users[digest] = append(users[digest], name)
	}
	all, files := []listed{}, d.pluginFiles()
	for _, m := range d.host.Modules() {
		manifest, file := m.Manifest(), files[m.Digest()]
		all = append(all, listed{
			File: file.File, Size: file.Size, Name: manifest.Name, Version: manifest.Version, Digest: m.Digest(), Hosts: manifest.Hosts, Tenants: users[m.Digest()],
			Secrets: secretPlaces(plugins.Info{Manifest: manifest}),
		})
	}
	for _, f := range d.host.Faults() {
		l := listed{File: f.Path, Refused: refusal(f)}
		if info, err := plugins.Inspect(f.Path); err == nil {
			l.Name, l.Version, l.Digest, l.Size, l.Hosts = info.Manifest.Name, info.Manifest.Version, info.Digest, info.Size, info.Manifest.Hosts
		}
		all = append(all, l)
	}
	slices.SortStableFunc(all, func(a, b listed) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.File, b.File)) })
	return all
}

// pluginFiles returns the files of the plugin folder by digest. A plugin in
// service whose file was deleted or replaced is not among them.
func (d *deployment) pluginFiles() map[string]listed {
	files := map[string]listed{}
	paths, err := filepath.Glob(filepath.Join(escapeGlob(d.cfg.Plugins.Dir), "*.wasm"))
	if err != nil {
		return files
	}
	for _, path := range paths {
		if info, err := plugins.Inspect(path); err == nil {
			files[info.Digest] = listed{File: path, Size: info.Size}
		}
	}
	return files
}

// refusal is why a plugin file is not in service, without its path.
func refusal(f plugins.Fault) string {
	return strings.TrimPrefix(oneLine(f.Err), "plugins: "+f.Path+": ")
}

// secretPlaces says where a plugin may send the client secret.
func secretPlaces(info plugins.Info) string {
	if info.NamesSecretURLs() {
		return "declared URLs"
	}
	return "any host"
}

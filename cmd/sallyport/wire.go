package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/config"
	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/fetch"
	"github.com/sallyport/sallyport/core/limit"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/pages"
	"github.com/sallyport/sallyport/core/remote"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/plugins"
)

// deployment is a configuration brought to life: everything serve needs but a
// listener.
type deployment struct {
	cfg     *config.Config
	replica string // names this process among those that share the store
	faults  faults
	force   context.Context // see system
	log     hclog.Logger
	fetch   *fetch.Client // for everything but backends
	keys    *seal.Keyring
	store   store.Driver
	host    *plugins.Host
	audit   *audit.Log // nil: off
	server  *core.Server
	signals *signals
	changes *changes
	given   func(key string) bool // whether the operator set a key
	warned  []string              // what is wrong and no fault, for check

	providers map[string]upstream.Provider // in force, as the host gave them
	down      map[string]error             // tenants that cannot be served, and why

	closes []func() error // in the order opened
}

// configFlags adds --config and the flags that override single keys.
func configFlags(cmd *cobra.Command) *[]string {
	files := cmd.Flags().StringArrayP("config", "c", nil, "YAML `file` with the configuration; may be given more than once")
	config.Flags(cmd.Flags())
	return files
}

// loadConfig reads the configuration that a command line names.
func loadConfig(cmd *cobra.Command, sys system, files []string) (*config.Config, error) {
	cfg, err := config.Load(config.Options{Files: files, Environ: sys.environ, Flags: cmd.Flags()})
	if err != nil {
		// Each fault begins its line, where editors look for file:line.
		return nil, faulty(files, err)
	}
	return cfg, nil
}

// faulty is the error of a configuration that cannot be used.
func faulty(files []string, err error) error {
	if len(files) == 0 {
		return fmt.Errorf("no configuration file is named (-c FILE), and the environment and flags alone have faults:\n%w", err)
	}
	return fmt.Errorf("the configuration has faults:\n%w", err)
}

// assemble opens everything a configuration names. It reports all that is
// wrong at once and leaves nothing open then.
func assemble(ctx context.Context, cfg *config.Config, sys system) (d *deployment, err error) {
	d = &deployment{cfg: cfg, replica: newReplica(), faults: sys.faults, force: sys.force, given: sys.given, changes: newChanges()}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.refused(), d.close())
			d = nil
		}
	}()
	d.log = hclog.New(&hclog.LoggerOptions{
		Name: "sallyport", Level: hclog.LevelFromString(cfg.Log.Level), JSONFormat: cfg.Log.Format == "json", Output: sys.err,
	})
	d.fetch = fetch.New(fetch.Config{
		PrivateHosts: cfg.Plugins.PrivateHosts, UserAgent: "sallyport/" + version(),
		Proxy: http.ProxyFromEnvironment, // HTTPS_PROXY and NO_PROXY, as everywhere
	})
	d.closes = append(d.closes, func() error { d.fetch.Close(); return nil })
	places, err := checkPlaces(cfg)
	for _, warning := range slices.Concat(sys.warnings, places) {
		d.warn(warning)
	}
	if err != nil {
		return d, err // nothing there is opened
	}
	auditErr := d.openAudit(sys)
	d.signals = newSignals(d.audit)
	var keysErr error
	d.keys, keysErr = openKeys(cfg.Keys)
	var storeErr error
	if d.store = sys.store; d.store == nil {
		storeErr = d.openStore(ctx)
		if storeErr == nil {
			storeErr = d.proveStore(ctx)
		}
	}
	hostErr := d.openPlugins(ctx, sys)
	if err := errors.Join(auditErr, keysErr, storeErr, hostErr); err != nil {
		return d, err
	}
	tenants, tenantsErr := d.startTenants(ctx)
	proxies, proxiesErr := trustedProxies(cfg.Server.TrustedProxies)
	if err := errors.Join(tenantsErr, proxiesErr); err != nil {
		return d, err
	}
	d.server, err = core.New(core.Config{
		Tenants: tenants, Store: d.store, Keys: d.keys, Log: d.log, Audit: d.audit, Fetch: d.fetch,
		CacheTTL: cfg.CacheTTL, TrustedProxies: proxies, Now: sys.faults.now, RefreshRepeated: d.signals.refreshRepeated,
		Limits: core.Limits{
			Register: limit.Rate(cfg.Limits.Register), Authorize: limit.Rate(cfg.Limits.Authorize), Token: limit.Rate(cfg.Limits.Token),
			Calls: limit.Rate(cfg.Limits.Calls), Failures: limit.Rate(cfg.Limits.Failures),
		},
	})
	d.logDown()
	return d, err
}

// warn says what the operator should change although the server runs without it.
func (d *deployment) warn(text string) {
	d.warned = append(d.warned, text)
	d.log.Warn(text)
}

// isGiven reports whether the operator set a key, and did not leave it to its
// default.
func (d *deployment) isGiven(key string) bool { return d.given == nil || d.given(key) }

// close releases everything, last opened first.
func (d *deployment) close() error {
	var errs []error
	for _, c := range slices.Backward(d.closes) {
		errs = append(errs, c())
	}
	d.closes = nil
	return errors.Join(errs...)
}

func openKeys(texts []config.Secret) (*seal.Keyring, error) {
	var keys []seal.Key
	var faults []error
	for i, text := range texts {
		key, err := seal.ParseKey(text.Reveal())
		if err != nil {
			faults = append(faults, fmt.Errorf("keys/%d: %w", i, err))
			continue
		}
		keys = append(keys, key)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return seal.NewKeyring(keys...)
}

func trustedProxies(networks []string) (proxies remote.Proxies, err error) {
	for i, text := range networks {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("server/trusted_proxies/%d: %w", i, err)
		}
		proxies = append(proxies, network)
	}
	return proxies, nil
}

func (d *deployment) openStore(ctx context.Context) (err error) {
	if d.store, err = openDriver(ctx, d.cfg.Store, d.faults.now); err != nil {
		return err
	}
	d.closes = append(d.closes, d.store.Close)
	return nil
}

// proveStore runs the start check of the store.
func (d *deployment) proveStore(ctx context.Context) error {
	warnings, err := store.Prove(ctx, d.store)
	for _, warning := range warnings {
		d.warn(warning)
	}
	return err
}

func (d *deployment) openPlugins(ctx context.Context, sys system) (err error) {
	compile, err := childCompiler()
	if err != nil {
		return err
	}
	d.host, err = plugins.New(ctx, plugins.Config{
		Dirs:     []string{d.cfg.Plugins.Dir},
		Compile:  compile,
		CacheDir: cacheDir(d.cfg.Plugins, d.warn, sys),
		Fetch:    d.fetch,
		Logger:   d.log.Named("plugins"),
		Observer: d.signals,
		Now:      d.faults.now,
		Strict:   d.cfg.Plugins.Strict,
	})
	if err != nil {
		return err
	}
	d.closes = append(d.closes, func() error { return d.host.Close(context.WithoutCancel(ctx)) })
	return nil
}

// refused is the plugin files that did not load, one a line. They stop no
// tenant but those that name them, so it is for the caller to mind.
func (d *deployment) refused() error {
	if d.host == nil {
		return nil
	}
	var faults []error
	for _, fault := range d.host.Faults() {
		faults = append(faults, fault.Err)
	}
	return errors.Join(faults...)
}

// cacheDir returns where compiled plugins are kept. Who can write there runs
// code in this process, so it is never a shared place. Without a folder that
// can be used there is no cache, and each start compiles anew: warn is called
// with the reason. A folder that the configuration names and that is missing is
// left to serve, whose user it should belong to.
func cacheDir(p config.Plugins, warn func(string), sys system) string {
	dir := cmp.Or(p.CacheDir, userCache(sys.environ))
	if _, err := os.Lstat(p.CacheDir); sys.look && p.CacheDir != "" && errors.Is(err, fs.ErrNotExist) {
		if err := canMake(p.CacheDir); err == nil {
			return ""
		}
	}
	if dir == "" {
		warn("plugins/cache_dir: compiled plugins are not kept, because there is no home folder; set plugins/cache_dir for faster starts")
		return ""
	}
	if err := usable(dir); err != nil {
		warn(fmt.Sprintf("plugins/cache_dir: compiled plugins are not kept: %v; set plugins/cache_dir to a folder that this user can write", err))
		return ""
	}
	return dir
}

// userCache returns the cache folder of the user, or the empty string.
func userCache(environ []string) string {
	for _, name := range []string{"XDG_CACHE_HOME", "HOME"} {
		for _, pair := range environ {
			value, ok := strings.CutPrefix(pair, name+"=")
			if !ok || !filepath.IsAbs(value) {
				continue
			}
			if name == "HOME" {
				value = filepath.Join(value, ".cache")
			}
			return filepath.Join(value, "sallyport")
		}
	}
	return ""
}

// usable makes a folder for this user alone, if it is missing, and writes to it.
func usable(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := trusted(dir); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return err
	}
	return writable(dir)
}

// writable reports whether this process can make a file in a folder.
func writable(dir string) error {
	f, err := os.CreateTemp(dir, ".write-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

func (d *deployment) tenant(ctx context.Context, name string, c config.Tenant) (*tenant.Tenant, error) {
	issuer := d.cfg.TenantURL(name)
	shared := d.cfg.SharedCallback(name)
	provider, err := d.provider(ctx, name, cmp.Or(shared, issuer+tenant.CallbackPath), c)
	if err != nil {
		return nil, fmt.Errorf("tenants/%s: %w", name, err)
	}
	t := &tenant.Tenant{
		Name: name, DisplayName: c.Name, Issuer: issuer, Provider: provider, Scopes: c.Scopes, External: c.Resource, SharedCallback: shared,
		Redirects: oauth.DefaultRedirects(), Lifetimes: tenant.DefaultLifetimes(),
	}
	if err := behind(t, c); err != nil {
		return nil, fmt.Errorf("tenants/%s/%w", name, err)
	}
	t.Upstream.Same = formerly(c.Formerly, provider, c.ClientID)
	if t.DisplayName == "" {
		t.DisplayName = name
	}
	t.Clients = knownClients(c)
	for _, s := range c.ResourceServers {
		t.ResourceServers = append(t.ResourceServers, tenant.ResourceServer{ID: s.ID, Secret: seal.NewSecret(s.Secret.Reveal())})
	}
	if t.Look, err = look(c.Look); err != nil {
		return nil, fmt.Errorf("tenants/%s/look/logo: %w", name, err)
	}
	t.Accounts = tenant.Accounts(c.Accounts)
	if err := t.Accounts.Check(provider.Describe()); err != nil {
		return nil, fmt.Errorf("tenants/%s/%w", name, err)
	}
	t.Redirects.Hosts = append(t.Redirects.Hosts, c.Redirects.Hosts...)
	t.Redirects.URIs = append(t.Redirects.URIs, c.Redirects.URIs...)
	t.Redirects.AnyHTTPS = c.Redirects.AnyHTTPS
	t.ClientDocuments = tenant.ClientDocuments{Off: c.CIMD == "off", Hosts: c.CIMDHosts}
	l := &t.Lifetimes
	l.Code, l.Access, l.ReuseWindow = c.Lifetimes.Code, c.Lifetimes.Access, c.Lifetimes.ReuseWindow
	l.Refresh, l.Absolute = c.Lifetimes.Refresh, c.Lifetimes.Absolute
	return t, nil
}

// behind fills in what the gateway reaches, what it says there, and to whom it
// opens. Errors begin with the key.
func behind(t *tenant.Tenant, c config.Tenant) (err error) {
	if c.Backend != "" {
		if t.Backend, err = url.Parse(c.Backend); err != nil {
			return fmt.Errorf("backend: %w", err)
		}
	}
	t.Backends = make(map[string]*url.URL, len(c.Backends))
	for name, address := range c.Backends {
		if t.Backends[name], err = url.Parse(address); err != nil {
			return fmt.Errorf("backends/%s: %w", name, err)
		}
	}
	for name, template := range c.Inject {
		header, err := tenant.ParseHeader(name, template.Reveal())
		if err != nil {
			return fmt.Errorf("inject/%s: %w", name, err)
		}
		t.Inject = append(t.Inject, header)
	}
	for _, name := range c.ResponseHeaders {
		header, err := tenant.ParseResponseHeader(name)
		if err != nil {
			return fmt.Errorf("response_headers: %s: %w", name, err)
		}
		t.ResponseHeaders = append(t.ResponseHeaders, header)
	}
	t.Revision = c.MCPRevision
	t.SessionsUnbound = c.SessionBinding == "off"
	t.Anonymous, t.Tools, t.Origins = c.Anonymous, c.Tools, c.Origins
	return nil
}

// look reads the logo.
func look(c config.Look) (tenant.Look, error) {
	l := tenant.Look{Color: c.Color, Support: c.Support}
	if c.Logo == "" {
		return l, nil
	}
	image, err := config.ReadFile(c.Logo)
	if err != nil {
		return l, err
	}
	l.Logo, err = pages.LogoURI(image)
	return l, err
}

func (d *deployment) provider(ctx context.Context, name, redirectURI string, c config.Tenant) (upstream.Provider, error) {
	p, err := d.host.Bind(ctx, c.Provider, plugins.Binding{
		Tenant: name, Settings: c.Settings, ClientID: c.ClientID, ClientSecret: seal.NewSecret(c.ClientSecret.Reveal()),
		ClientKey: seal.NewSecret(c.ClientKey.Reveal()), Hosts: c.Hosts, Scopes: c.Scopes, RedirectURI: redirectURI,
	})
	if errors.Is(err, plugins.ErrNotFound) {
		return nil, fmt.Errorf("provider: %w; plugins/dir: %s", err, d.cfg.Plugins.Dir)
	}
	if err != nil {
		return nil, err
	}
	d.providers[name] = p
	return d.faults.provider(p), nil
}

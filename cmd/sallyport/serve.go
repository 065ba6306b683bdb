package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/config"
	"github.com/sallyport/sallyport/core/replica"
)

func serveCommand(sys system) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve -c FILE",
		Short: "Run the gateway",
		Long: "Serve runs the gateway until SIGTERM, goes on for server/drain_delay so that proxies\n" +
			"find out, closes the listeners and lets calls under way finish. SIGINT skips the\n" +
			"delay; a second signal ends it at once.\n" +
			"A plugin that appears in the plugin folder is taken up at once. The tenants are\n" +
			"made anew when a configuration file changes, and on SIGHUP, which also reads\n" +
			"secrets from their files again, accepts plugins that wait for it, and opens the\n" +
			"audit file anew. If anything is wrong the log says what, and the tenants stay as they were.",
		Example: "  sallyport serve -c sallyport.yaml\n" +
			"  sallyport serve -c base.yaml -c tenants.yaml --listen :8080 --log-format json",
		Args: cobra.NoArgs,
	}
	files := configFlags(cmd)
	cmd.RunE = verb(func(cmd *cobra.Command, _ []string) error {
		cfg, origins, warnings, err := loadTrusted(cmd, sys, *files)
		if err != nil {
			return err
		}
		sys.given, sys.warnings = origins.Set, warnings
		d, err := assemble(cmd.Context(), cfg, sys)
		if err != nil {
			return err
		}
		if err := d.enterUpstreams(cmd.Context()); err != nil {
			return errors.Join(err, d.close())
		}
		read := func() (*config.Config, error) {
			cfg, _, warnings, err := loadTrusted(cmd, sys, *files)
			for _, warning := range warnings {
				d.log.Warn(warning)
			}
			return cfg, err
		}
		stop := d.watchConfig(cmd.Context(), *files, read)
		err = d.serve(cmd.Context(), nil)
		stop()
		return errors.Join(err, d.close())
	})
	return cmd
}

// serve listens and answers until ctx ends, then drains. ready is called with
// the front door's address once both listeners are open.
func (d *deployment) serve(ctx context.Context, ready func(net.Addr)) error {
	front, err := listen(ctx, d.cfg.Server.Listen, "server/listen", "--listen")
	if err != nil {
		return err
	}
	listeners := []net.Listener{front}
	handlers := []http.Handler{d.server}
	if address := d.cfg.Server.OperatorListen; address != "" && address != "off" {
		operator, err := listen(ctx, address, "server/operator_listen", "--operator-listen")
		switch {
		case err == nil:
			listeners, handlers = append(listeners, operator), append(handlers, d.operator())
			d.log.Info("operator listener", "address", operator.Addr().String())
		case d.isGiven("server/operator_listen"):
			return errors.Join(err, front.Close())
		default: // the default address is a convenience
			d.warn(fmt.Sprintf("no operator listener, so no health, metrics and forward auth: %v, or off", err))
		}
	}
	defer inBackground(ctx, d.watchPlugins)()
	defer inBackground(context.WithoutCancel(ctx), d.server.Follow)() // also while draining
	defer inBackground(context.WithoutCancel(ctx), (&replica.Watch{
		Name: d.replica, Store: d.store, Keys: d.keys, Log: d.log, Now: d.faults.now,
	}).Run)()
	defer d.serveAdmin(context.WithoutCancel(ctx))() // also while draining
	d.log.Info("serving", "address", front.Addr().String(), "tenants", d.server.Tenants().Len(), "version", version())
	if ready != nil {
		ready(front.Addr())
	}
	return serveAll(ctx, d.log, listeners, handlers, drain{delay: d.cfg.Server.DrainDelay, tell: d.server.Drain, force: d.force})
}

// inBackground runs f until the returned function is called, which waits for it.
func inBackground(ctx context.Context, f func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() { f(ctx) })
	return func() { cancel(); done.Wait() }
}

// watchPlugins takes up what changes in the plugin folder until ctx ends.
func (d *deployment) watchPlugins(ctx context.Context) {
	if err := d.host.Watch(ctx); err != nil {
		d.log.Error("new plugins need a restart", "error", err)
	}
}

// serveAll runs a server a listener until ctx ends or one fails.
func serveAll(ctx context.Context, log hclog.Logger, listeners []net.Listener, handlers []http.Handler, end drain) error {
	failed := make(chan error, len(listeners))
	var draining atomic.Bool
	var servers []*http.Server
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true) // proxies that end TLS may speak it to us (RFC 9113 §3.3)
	for i, l := range listeners {
		s := &http.Server{
			Handler:           closeConnections(&draining, handlers[i]),
			Protocols:         &protocols,
			ReadHeaderTimeout: 10 * time.Second,
			IdleTimeout:       2 * time.Minute,
			MaxHeaderBytes:    64 << 10,
			ErrorLog:          log.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
			// No read or write timeout: an SSE stream lasts as long as it lasts.
		}
		servers = append(servers, s)
		go func() { failed <- s.Serve(l) }()
	}
	select {
	case err := <-failed:
		return errors.Join(err, end.shutdown(ctx, log, servers))
	case <-ctx.Done():
		draining.Store(true)
		return end.run(ctx, log, servers, listeners)
	}
}

var errInUse = errors.New("in use by another process")

// listen opens a TCP listener; the error says which key and flag choose it.
func listen(ctx context.Context, address, key, flag string) (net.Listener, error) {
	var plain net.ListenConfig
	plain.SetMultipathTCP(false) // its sockets take no filter, see refuseConnections
	l, err := plain.Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s: the address %s is %w; stop that one or choose another address with %s", key, address, errInUse, flag)
	case err != nil:
		return nil, fmt.Errorf("%s: %w; choose another address with %s", key, err, flag)
	}
	return l, nil
}

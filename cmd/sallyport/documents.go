package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sallyport/sallyport/config"
	"github.com/sallyport/sallyport/core/fetch"
)

// documentTime bounds the fetches of warnDocuments, which run side by side.
const documentTime = 3 * time.Second

// clientDocument is the client id metadata document of a widely used client
// that names it wherever a server announces support, and does not register
// instead when the server cannot fetch it.
type clientDocument struct {
	client string
	url    string
	// anyAnswer: the client's documents have an id of the server in their
	// address, so only the host can be tried.
	anyAnswer bool
}

// clientDocuments are those that have been seen (Claude Code 2.1.332, Codex
// 0.171.0, Copilot CLI 1.0.102).
func clientDocuments() []clientDocument {
	return []clientDocument{
		{client: "Claude Code", url: "https://claude.ai/oauth/claude-code-client-metadata"},
		{client: "Codex", url: "https://chatgpt.com/", anyAnswer: true},
		{client: "Copilot CLI", url: "https://github.com/copilot/cli/client-metadata.json"},
	}
}

// fetcher is fetch.Client's Do.
type fetcher func(context.Context, *http.Request, fetch.Policy) (*fetch.Response, error)

// warnDocuments fetches the documents that tenants of cfg would need and returns
// a line for each that cannot be had from here.
func warnDocuments(ctx context.Context, do fetcher, cfg *config.Config) []string {
	ctx, cancel := context.WithTimeout(ctx, documentTime)
	defer cancel()
	documents := clientDocuments()
	warnings := make([]string, len(documents))
	var done sync.WaitGroup
	for i, d := range documents {
		if names := tenantsThatFetch(cfg, d); len(names) > 0 {
			done.Go(func() {
				if err := d.fetch(ctx, do); err != nil {
					warnings[i] = d.warning(err, names)
				}
			})
		}
	}
	done.Wait()
	return slices.DeleteFunc(warnings, func(w string) bool { return w == "" })
}

// tenantsThatFetch names the tenants whose server fetches d when the client
// comes.
func tenantsThatFetch(cfg *config.Config, d clientDocument) []string {
	host := strings.Split(d.url, "/")[2]
	var names []string
	for _, name := range slices.Sorted(maps.Keys(cfg.Tenants)) {
		t := cfg.Tenants[name]
		written := slices.ContainsFunc(t.Clients, func(c config.Client) bool { return c.ID == d.url })
		chosen := len(t.CIMDHosts) == 0 || slices.Contains(t.CIMDHosts, host) || slices.Contains(t.CIMDHosts, host+":443")
		if t.CIMD != "off" && chosen && !written {
			names = append(names, name)
		}
	}
	return names
}

func (d clientDocument) fetch(ctx context.Context, do fetcher) error {
	u, err := url.Parse(d.url)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url, nil)
	if err != nil {
		return err
	}
	res, err := do(ctx, req, fetch.Policy{Hosts: []string{u.Host}, MaxBody: 4 << 20, Timeout: documentTime})
	if err != nil {
		return err
	}
	if res.Status != http.StatusOK && !d.anyAnswer {
		return fmt.Errorf("%s answers %d", u.Host, res.Status)
	}
	return nil
}

func (d clientDocument) warning(err error, tenants []string) string {
	host, written := strings.Split(d.url, "/")[2], "write the client down under clients, "
	if d.anyAnswer {
		written = ""
	}
	return fmt.Sprintf("%s cannot log in: its metadata document at %s cannot be fetched from here (%v), and it does not register instead; "+
		"let this server reach %s, %sor set cimd: off (tenants: %s)", d.client, host, err, host, written, some(tenants))
}

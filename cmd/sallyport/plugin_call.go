package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/plugins"
	"github.com/sallyport/sallyport/sdk/abi"
	"github.com/sallyport/sallyport/sdk/rules"
)

// callOptions are the flags of plugin call.
type callOptions struct {
	input, settings     string
	client, redirectURI string
	secretFile, keyFile string
	privateHosts        []string
	json                bool
}

func pluginCallCommand(sys system) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "call FILE OPERATION",
		Short: "Run one operation of a plugin and show the conversation",
		Long: "Call holds one conversation with a plugin, by the rules of a server, and shows\n" +
			"every run of it, every request and what was answered. The requests are really\n" +
			"performed: an exchange spends the code, a refresh may spend the token. Secrets\n" +
			"are not shown. sdk/ABI.md says what the input of each operation is.\n\n" +
			"The operations: " + strings.Join(operations(), ", ") + ".",
		Example: "  sallyport plugin call github.wasm describe\n" +
			"  sallyport plugin call github.wasm authorize --client Iv1.0123 --input '{\"state\":\"s\",\"scopes\":[\"read:user\"]}'\n" +
			"  sallyport plugin call acme.wasm exchange --client acme-app --client-secret-file secret \\\n" +
			"    --redirect-uri https://acme.mcp.example.com/callback --input '{\"query\":[[\"code\",\"C0DE\"]],\"scopes\":[]}'",
		Args: cobra.MatchAll(cobra.ExactArgs(2), func(_ *cobra.Command, args []string) error {
			if !slices.Contains(operations(), args[1]) {
				return fmt.Errorf("there is no operation %q; there are: %s", args[1], strings.Join(operations(), ", "))
			}
			return nil
		}),
	}
	var o callOptions
	flags := cmd.Flags()
	flags.StringVar(&o.input, "input", "{}", "the operation's input, a `JSON` object")
	flags.StringVar(&o.settings, "settings", "{}", "the tenant's settings, a `JSON` object")
	flags.StringVar(&o.client, "client", "test-client", "our client `id` at the upstream")
	flags.StringVar(&o.redirectURI, "redirect-uri", "https://test.example/callback", "our callback `URI` at the upstream")
	flags.StringVar(&o.secretFile, "client-secret-file", "", "`file` with our client secret at the upstream")
	flags.StringVar(&o.keyFile, "client-key-file", "", "`file` with our private key at the upstream, for private_key_jwt; PEM or JWK")
	flags.StringArrayVar(&o.privateHosts, "private-host", nil, "`host:port` that may be asked over http and at a private address; may be given more than once")
	flags.BoolVar(&o.json, "json", false, "print JSON")
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		return callPlugin(cmd.Context(), cmd.OutOrStdout(), sys, args[0], args[1], o)
	})
	return cmd
}

func operations() []string {
	return []string{abi.OpDescribe, abi.OpCheck, abi.OpAuthorize, abi.OpExchange, abi.OpRefresh, abi.OpRevoke}
}

// binding is the tenant that the flags describe.
func (o callOptions) binding() (b plugins.Binding, err error) {
	b = plugins.Binding{Tenant: "test", ClientID: o.client, RedirectURI: o.redirectURI}
	if err := json.Unmarshal([]byte(o.settings), &b.Settings); err != nil {
		return b, fmt.Errorf("--settings: a JSON object is needed: %w", err)
	}
	var object map[string]any
	if err := json.Unmarshal([]byte(o.input), &object); err != nil {
		return b, fmt.Errorf("--input: a JSON object is needed: %w", err)
	}
	if b.ClientSecret, err = readSecret("--client-secret-file", o.secretFile); err != nil {
		return b, err
	}
	b.ClientKey, err = readSecret("--client-key-file", o.keyFile)
	return b, err
}

// readSecret reads the file that a flag names, without the line's end.
func readSecret(flag, file string) (seal.Secret, error) {
	if file == "" {
		return seal.Secret{}, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return seal.Secret{}, fmt.Errorf("%s: %w", flag, err)
	}
	return seal.NewSecret(strings.TrimRight(string(text), "\r\n")), nil
}

func callPlugin(ctx context.Context, w io.Writer, sys system, file, op string, o callOptions) (err error) {
	binding, err := o.binding()
	if err != nil {
		return err
	}
	cfg, err := workbench(sys, o.privateHosts...)
	if err != nil {
		return err
	}
	m, err := plugins.Open(ctx, cfg, file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close(context.WithoutCancel(ctx))) }()
	t := &transcript{Plugin: m.Manifest().Name, Version: m.Manifest().Version, Op: op, Hosts: []string{}}
	result, failure := m.Converse(ctx, binding, op, []byte(o.input), t.add)
	t.Result = result
	if fault, ok := errors.AsType[*upstream.Error](failure); ok {
		t.Error = &abi.Error{Kind: string(fault.Kind), Message: fault.Message, Detail: fault.Detail, RetryAfter: int(fault.RetryAfter.Seconds())}
	}
	if o.json {
		return errors.Join(failure, printJSON(w, t))
	}
	t.print(w)
	return failure
}

// transcript is a conversation as it is shown.
type transcript struct {
	Plugin  string          `json:"plugin"`
	Version string          `json:"version"`
	Op      string          `json:"op"`
	Runs    []shownRun      `json:"runs"`
	Steps   int             `json:"steps"`
	Fuel    int64           `json:"fuel"`
	Hosts   []string        `json:"hosts"` // asked, or wished to be asked
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *abi.Error      `json:"error,omitempty"`
}

// shownRun is one run of the plugin and what came of it.
type shownRun struct {
	Fuel    int64        `json:"fuel"`
	Memory  int          `json:"memory"` // bytes
	TookMS  int64        `json:"took_ms"`
	Log     []string     `json:"log,omitempty"`
	Request *abi.Request `json:"request,omitempty"`
	Body    string       `json:"body,omitempty"`
	WaitMS  int64        `json:"wait_ms,omitempty"`
	Status  int          `json:"status,omitempty"`
	Bytes   int          `json:"bytes,omitempty"` // of the answer's body
}

func (t *transcript) add(turn plugins.Turn) {
	t.Runs = append(t.Runs, shownRun{turn.Fuel, turn.Memory, turn.Took.Milliseconds(), turn.Log, turn.Request, turn.Body, turn.Wait.Milliseconds(), turn.Status, turn.Bytes})
	t.Fuel += turn.Fuel
	if turn.Request == nil && turn.Wait == 0 {
		return
	}
	t.Steps++
	if turn.Request == nil {
		return
	}
	if u, err := url.Parse(turn.Request.URL); err == nil && !slices.Contains(t.Hosts, u.Host) {
		t.Hosts = append(t.Hosts, u.Host)
	}
}

func (t *transcript) print(w io.Writer) {
	for i, r := range t.Runs {
		fmt.Fprintf(w, "run %d  %s fuel  %.1f MB memory  %d ms\n", i+1, grouped(r.Fuel), float64(r.Memory)/1e6, r.TookMS)
		for _, line := range r.Log {
			fmt.Fprintf(w, "  it printed: %s\n", line)
		}
		if r.WaitMS > 0 {
			fmt.Fprintf(w, "= wait %d ms\n", r.WaitMS)
		}
		if r.Request != nil {
			r.print(w)
		}
	}
	switch {
	case t.Error != nil:
		fmt.Fprintf(w, "error %s\n", t.Error.Kind)
	case t.Result != nil:
		fmt.Fprintf(w, "result\n%s\n", indented(t.Result))
		t.warn(w)
	}
	fmt.Fprintf(w, "%s %s  %s  %s  %s fuel  hosts: %s\n", t.Plugin, t.Version, t.Op, counted(t.Steps, "step"), grouped(t.Fuel), strings.Join(t.Hosts, " "))
}

// warn says what a host accepts and an author should change.
func (t *transcript) warn(w io.Writer) {
	var c abi.Credential
	if json.Unmarshal(t.Result, &c) == nil && c.Account != nil && rules.LooksLikeEmail(c.Account.ID) {
		fmt.Fprintln(w, "warning: the account id has the form of an e-mail address, which can change hands; use the upstream's own identifier of the user")
	}
}

func (r shownRun) print(w io.Writer) {
	fmt.Fprintf(w, "> %s %s\n", r.Request.Method, r.Request.URL)
	if r.Request.ClientAuth != nil {
		fmt.Fprintf(w, "> (client authentication: %s)\n", r.Request.ClientAuth.Method)
	}
	for _, h := range r.Request.Headers {
		fmt.Fprintf(w, "> %s: %s\n", h[0], h[1])
	}
	if r.Body != "" {
		fmt.Fprintf(w, ">\n> %s\n", r.Body)
	}
	if r.Status != 0 {
		fmt.Fprintf(w, "< %d, %s bytes\n", r.Status, grouped(int64(r.Bytes)))
	} else {
		fmt.Fprintln(w, "< nothing")
	}
}

func indented(text []byte) string {
	var b bytes.Buffer
	if json.Indent(&b, text, "", "  ") != nil {
		return string(text)
	}
	return b.String()
}

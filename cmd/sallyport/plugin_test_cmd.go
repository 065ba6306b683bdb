package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/plugins"
	"github.com/sallyport/sallyport/sdk/abi"
	"github.com/sallyport/sallyport/sdk/sdktest"
)

func pluginTestCommand(sys system) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test FILE|DIR [TRANSCRIPT...]",
		Short: "Replay transcripts through the sandbox",
		Long: "Test runs a plugin as the server would and holds the conversations of its\n" +
			"transcripts with it. A folder with a provider's sources is built first, to a\n" +
			"temporary file, and brings its testdata/*.txtar. Every call is made twice on one\n" +
			"instance and once on a fresh one, and has to come out the same. No request\n" +
			"leaves this computer.",
		Example: "  sallyport plugin test ./providers/github\n" +
			"  sallyport plugin test github.wasm providers/github/testdata/*.txtar",
		Args: cobra.MinimumNArgs(1),
	}
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		results, err := testPlugin(cmd, sys, args[0], args[1:])
		if err != nil {
			return err
		}
		if *asJSON {
			err = printJSON(cmd.OutOrStdout(), results)
		} else {
			err = printReplays(cmd.OutOrStdout(), results)
		}
		failed := 0
		for _, r := range results {
			if !r.OK {
				failed++
			}
		}
		if failed > 0 {
			err = errors.Join(err, fmt.Errorf("%d of %d transcripts failed", failed, len(results)))
		}
		return err
	})
	return cmd
}

// replay is one transcript's outcome.
type replay struct {
	File  string `json:"file"`
	OK    bool   `json:"ok"`
	Steps int    `json:"steps"`           // requests and waits
	Runs  int    `json:"runs"`            // of the plugin
	Fuel  int64  `json:"fuel"`            // of those runs together
	Diff  string `json:"diff,omitempty"`  // - transcript, + plugin
	Error string `json:"error,omitempty"` // why there is nothing to compare
}

// testPlugin builds what is a folder, opens the plugin and replays.
func testPlugin(cmd *cobra.Command, sys system, target string, files []string) (results []replay, err error) {
	info, err := os.Stat(target)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		if !info.IsDir() {
			return nil, fmt.Errorf("%s is a file: name the transcripts to replay too, or give the provider's folder", target)
		}
		if files, err = filepath.Glob(filepath.Join(escapeGlob(target), "testdata", "*.txtar")); err != nil {
			return nil, err
		}
		if len(files) == 0 {
			return nil, fmt.Errorf("%s/testdata has no transcript (*.txtar); sdk/README.md says how to write one", target)
		}
	}
	if info.IsDir() {
		tmp, err := os.MkdirTemp("", "sallyport-test-*")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(tmp)
		file := filepath.Join(tmp, "plugin.wasm")
		if _, err := plugins.Build(cmd.Context(), plugins.BuildOptions{Dir: target, Out: file, Log: cmd.ErrOrStderr()}); err != nil {
			return nil, err
		}
		if err := warnOfImports(cmd.ErrOrStderr(), target); err != nil {
			return nil, err
		}
		target = file
	}
	cfg, err := workbench(sys)
	if err != nil {
		return nil, err
	}
	m, err := plugins.Open(cmd.Context(), cfg, target)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.Close(context.WithoutCancel(cmd.Context()))) }()
	for _, file := range files {
		results = append(results, replayFile(cmd.Context(), m, file))
	}
	return results, nil
}

func replayFile(ctx context.Context, m *plugins.Module, file string) replay {
	r := replay{File: file}
	text, err := os.ReadFile(file)
	if err != nil {
		r.Error = err.Error()
		return r
	}
	want := strings.ReplaceAll(string(text), "\r\n", "\n")
	t := &tryout{try: func(doc []byte, fresh bool) (plugins.Trial, error) { return m.Try(ctx, doc, fresh) }}
	got, err := sdktest.Replay(t.call, want)
	if t.runs == 0 && t.check > 0 { // check is what the transcript is about
		t.runs, t.fuel = 1, t.check
	}
	r.Steps, r.Runs, r.Fuel = max(0, t.runs-1), t.runs, t.fuel
	switch {
	case err != nil:
		r.Error = err.Error()
	case got != want:
		r.Diff = sdktest.Diff(want, got)
	default:
		r.OK = true
	}
	return r
}

// tryout is a plugin as sdktest calls it. Replay makes every call twice, both
// times on the pooled instance; the first time it is also made on a fresh one.
type tryout struct {
	try  func(doc []byte, fresh bool) (plugins.Trial, error)
	last []byte // input document of the call before
	runs int
	fuel int64

	check int64 // fuel of the last check
}

func (t *tryout) call(doc []byte) ([]byte, error) {
	pooled, err := t.try(doc, false)
	if err != nil {
		return nil, fmt.Errorf("the plugin broke down: %w%s", err, said(pooled.Log))
	}
	if bytes.Equal(doc, t.last) {
		return pooled.Output, nil
	}
	t.last = bytes.Clone(doc)
	switch op(doc) {
	case abi.OpDescribe: // only for the defaults of settings
	case abi.OpCheck: // before every other operation
		t.check = pooled.Fuel
	default:
		t.runs++
		t.fuel += pooled.Fuel
	}
	fresh, err := t.try(doc, true)
	if err != nil {
		return nil, fmt.Errorf("the plugin broke down on a fresh instance: %w%s", err, said(fresh.Log))
	}
	if !bytes.Equal(fresh.Output, pooled.Output) {
		return nil, fmt.Errorf("not deterministic: one call came out differently on a used and on a fresh instance (- used, + fresh):\n%s",
			sdktest.Diff(printable(pooled.Output), printable(fresh.Output)))
	}
	return pooled.Output, nil
}

// op returns the operation that an input document calls.
func op(doc []byte) string {
	var head struct {
		Op string `json:"op"`
	}
	if len(doc) > 4 {
		_ = json.NewDecoder(bytes.NewReader(doc[4:])).Decode(&head) // the plugin says what is wrong with it
	}
	return head.Op
}

// printable is a document without its length, which is binary.
func printable(doc []byte) string { return string(doc[min(4, len(doc)):]) }

func said(log []string) string {
	if len(log) == 0 {
		return ""
	}
	for _, line := range log {
		if strings.Contains(line, "out of memory") { // the Go runtime adds a trace of all goroutines
			return "; it asked for more memory than a plugin may have; keep less of the answers, or read them in parts"
		}
	}
	return "; it printed:\n" + strings.Join(log, "\n")
}

func printReplays(w io.Writer, results []replay) error {
	width := 0
	for _, r := range results {
		width = max(width, len(r.name()))
	}
	for _, r := range results {
		word := "ok  "
		if !r.OK {
			word = "FAIL"
		}
		if _, err := fmt.Fprintf(w, "%s  %-*s  %s  %s fuel\n", word, width, r.name(), counted(r.Steps, "step"), grouped(r.Fuel)); err != nil {
			return err
		}
		if r.Error != "" {
			fmt.Fprintf(w, "%s\n", r.Error)
		}
		if r.Diff != "" {
			fmt.Fprintf(w, "%s (- the transcript, + the plugin):\n%s", r.File, r.Diff)
		}
	}
	return nil
}

func (r replay) name() string { return strings.TrimSuffix(filepath.Base(r.File), ".txtar") }

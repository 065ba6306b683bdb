package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/config"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/store/bolt"
)

func storeBackupCommand(sys system) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write a backup of the bolt store to a file, also while the server runs",
		Long: "Backup writes the store as it is at one moment to a new file and checks that it is\n" +
			"whole. If a server has the store open, that server is asked for it, at its\n" +
			"operator's listener; the request is sealed with a server key of the configuration.\n" +
			"The backup is a store like the one it was made from: to restore it, stop the\n" +
			"server and put the file in its place. Users who refreshed since then log in again,\n" +
			"and what was revoked since then is back. Redis has backups of its own.",
		Example: "  sallyport store backup -c sallyport.yaml /var/backups/sallyport-$(date +%F).db\n" +
			"  sallyport store backup -c sallyport.yaml backup.db --json",
		Args: cobra.ExactArgs(1),
	}
	files := configFlags(cmd)
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		cfg, err := loadConfig(cmd, sys, *files)
		if err != nil {
			return err
		}
		done, err := backUp(cmd.Context(), cfg, args[0], newProgress(sys.err, sys.faults.clock()))
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), done)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s records, %s bytes\n", done.File, grouped(int64(done.Records)), grouped(done.Bytes))
		return err
	})
	return cmd
}

// backedUp is what a backup is.
type backedUp struct {
	File    string `json:"file"`
	Records int    `json:"records"`
	Bytes   int64  `json:"bytes"`
}

// backUp writes a backup of the configuration's store to a new file.
func backUp(ctx context.Context, cfg *config.Config, target string, p *progress) (done backedUp, err error) {
	defer p.end()
	if _, ok := boltFile(cfg.Store); !ok {
		return done, errors.New("the store is a Redis, which has backups of its own: BGSAVE, or redis-cli --rdb")
	}
	f, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return done, fmt.Errorf("the backup is to be a new file: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(target))
		}
	}()
	counted := &counter{w: f, p: p}
	if err := errors.Join(copyStore(ctx, cfg, p.now(), counted), f.Sync(), f.Close()); err != nil {
		return done, err
	}
	n, err := bolt.Verify(ctx, target)
	return backedUp{File: target, Records: n, Bytes: counted.n}, err
}

// counter shows how much was written.
type counter struct {
	w io.Writer
	n int64
	p *progress
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	c.p.say("%s bytes", grouped(c.n))
	return n, err
}

// copyStore has the store copied by whoever may: this process, or the server
// that has it open.
func copyStore(ctx context.Context, cfg *config.Config, now time.Time, w io.Writer) error {
	d, err := openExisting(ctx, cfg.Store)
	switch {
	case errors.Is(err, bolt.ErrHeld):
		return fetchBackup(ctx, cfg, now, w, err)
	case err != nil:
		return err
	}
	b, ok := d.(store.Backuper)
	if !ok {
		return errors.Join(errors.New("the store makes no backups"), d.Close())
	}
	return errors.Join(b.Backup(ctx, w), d.Close())
}

// operatorUse is what a request to the operator's listener is sealed for, and
// operatorFresh how long it is good for.
const (
	operatorUse   = "operator"
	operatorFresh = time.Minute
)

// backupPath is where the operator's listener gives a backup.
const backupPath = "/admin/backup"

// fetchBackup asks the server that holds the store. Its listener is for the
// operator, but whoever is on the machine can reach it and a web page may have a
// browser try, so the request shows that it comes from somebody who has a key of
// the server.
func fetchBackup(ctx context.Context, cfg *config.Config, now time.Time, w io.Writer, held error) error {
	address := cfg.Server.OperatorListen
	if address == "" || address == "off" {
		return fmt.Errorf("%w; or let it answer backups by server/operator_listen", held)
	}
	keys, err := openKeys(cfg.Keys)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+reachable(address)+backupPath, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+sealOperator(keys, backupPath, now))
	// Not core/fetch, which has bounds for answers of strangers: this is a large
	// one of our own.
	client := &http.Client{Transport: &http.Transport{ResponseHeaderTimeout: operatorFresh, DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("the server that has the store open does not answer at server/operator_listen: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10))
		return fmt.Errorf("the server that has the store open answers %s: %s", res.Status, strings.TrimSpace(string(text)))
	}
	_, err = io.Copy(w, res.Body)
	return err
}

// reachable makes an address to connect to of one to listen at.
func reachable(address string) string {
	if strings.HasPrefix(address, ":") {
		return "localhost" + address
	}
	return address
}

// sealOperator makes the bearer token of one request to the operator's listener.
func sealOperator(keys *seal.Keyring, path string, now time.Time) string {
	return base64.RawURLEncoding.EncodeToString(keys.Seal(seal.Purpose{Use: operatorUse, Record: path}, []byte(now.UTC().Format(time.RFC3339))))
}

// fromOperator tells whether a request was sealed with a server key, for this
// path and just now.
func fromOperator(keys *seal.Keyring, r *http.Request, now time.Time) bool {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return false
	}
	sealed, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return false
	}
	plain, err := keys.Open(seal.Purpose{Use: operatorUse, Record: r.URL.Path}, sealed)
	if err != nil {
		return false
	}
	at, err := time.Parse(time.RFC3339, string(plain))
	return err == nil && now.Sub(at).Abs() <= operatorFresh
}

// serveBackup answers POST /admin/backup at the operator's listener.
func (d *deployment) serveBackup(w http.ResponseWriter, r *http.Request) {
	refuse := func(status int, text string) { oauth.WriteJSON(w, status, map[string]string{"error": text}) }
	if !fromOperator(d.keys, r, d.faults.clock()()) {
		refuse(http.StatusUnauthorized, "not sealed with a key of this server, or not just now")
		return
	}
	b, ok := d.store.(store.Backuper)
	if !ok {
		refuse(http.StatusNotImplemented, "the store makes no backups")
		return
	}
	d.log.Info("backup", "address", r.RemoteAddr)
	w.Header().Set("Content-Type", "application/octet-stream")
	out := &patient{w: w, c: http.NewResponseController(w), now: d.faults.clock()}
	if err := b.Backup(r.Context(), out); err != nil {
		d.log.Error("backup", "error", err)
		panic(http.ErrAbortHandler) // so that the end of the answer is missing
	}
}

// patient writes an answer that may take long, but not forever between two
// pieces: as long as it lasts the store keeps what it deletes.
type patient struct {
	w   io.Writer
	c   *http.ResponseController
	now func() time.Time
}

func (p *patient) Write(b []byte) (int, error) {
	if err := p.c.SetWriteDeadline(p.now().Add(30 * time.Second)); err != nil {
		return 0, err
	}
	return p.w.Write(b)
}

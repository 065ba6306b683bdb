package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/core/coretest/loopback"
)

// separators are the characters that HTTP allows in the name of a header beside
// letters, digits and '-' (RFC 9110 §5.6.2). The readers of TestHeaderReaders
// make '_' of some or all of them.
const separators = "!#$%&'*+.^_`|~"

// reader is a program that reads headers under folded names.
type reader struct {
	name    string
	address string // host:port
	start   func(context.Context, *testing.T, string)
}

// TestHeaderReaders logs in once and calls real servers behind the gateway: PHP's
// own, nginx with PHP-FPM, a CGI program, a WSGI and an ASGI server. Each is
// configured to fold all that it can. What they read under the names that the
// gateway fills in is what the gateway says, whatever a client sends.
func TestHeaderReaders(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	dir := t.TempDir()
	w := &world{bin: filepath.Join(dir, "sallyport"), plugins: filepath.Join(dir, "plugins"), cache: filepath.Join(dir, "cache")}
	run(t, "go", "build", "-o", w.bin, "..")
	run(t, w.bin, "plugin", "build", "-o", w.plugins, "../../../providers/oauth2")

	readers := []reader{
		{"php", loopback.Free(t), startPHP},
		{"fpm", loopback.Free(t), startPHPFPM},
		{"cgi", loopback.Free(t), startCGI},
		{"wsgi", loopback.Free(t), startWSGI},
		{"asgi", loopback.Free(t), startASGI},
	}
	var backends []string
	for _, r := range readers {
		r.start(ctx, t, r.address)
		backends = append(backends, fmt.Sprintf(`%s: "http://%s/reader.php"`, r.name, r.address))
	}
	s := newStage(ctx, t, w, func(s *stage) (string, tenant) {
		return "", tenant{Backend: s.server.URL, More: []string{
			"backends: { " + strings.Join(backends, ", ") + " }",
			`inject: { Authorization: "Bearer {token}", X-Sallyport-Assertion: "{assertion}", X-User: "user {subject}" }`,
		}}
	})
	token := s.logIn(ctx, t, s.g.mcpURL(tools))
	for _, r := range readers {
		t.Run(r.name, func(t *testing.T) {
			// That the reader folds at all is what makes the rest worth anything.
			if got := readBy(ctx, t, "http://"+r.address+"/reader.php", "", "X_User", "forged"); !strings.Contains(got, "HTTP_X_USER=forged") {
				t.Fatalf("read without the gateway:\n%s", got)
			}
			wantOurs(ctx, t, s.g.mcpURL(tools)+"/"+r.name, token)
		})
	}
}

// wantOurs sends each name that only the gateway may fill in, with every
// separator in the place of one and of all of its hyphens.
func wantOurs(ctx context.Context, t *testing.T, address, token string) {
	t.Helper()
	for _, c := range separators {
		var sent []string
		for _, name := range []string{"X-User", "X-Sallyport-Assertion", "X-Sallyport-Other", "X-Forwarded-For", "X-Forwarded-User", "X-Real-Ip", "Remote-User"} {
			sent = append(sent, strings.ReplaceAll(name, "-", string(c)), "forged", strings.Replace(name, "-", string(c), 1), "forged",
				strings.ToUpper(name), "forged")
		}
		sent = append(sent, "Proxy", "forged", "X-Clients-Own", "kept")
		got := readBy(ctx, t, address, token, sent...)
		for _, want := range []string{"HTTP_X_USER=user ", "HTTP_AUTHORIZATION=Bearer demo_at_", "HTTP_X_SALLYPORT_ASSERTION=ey", "HTTP_X_CLIENTS_OWN=kept"} {
			if strings.Count(got, want) != 1 {
				t.Errorf("separator %q: %q is there %d times", c, want, strings.Count(got, want))
			}
		}
		if strings.Contains(got, "forged") {
			t.Errorf("separator %q: the server reads\n%s", c, got)
		}
	}
}

// readBy returns what a reader prints of a request with these headers: name,
// value, name, value.
func readBy(ctx context.Context, t *testing.T, address, token string, headers ...string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(whoamiCall))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header[headers[i]] = []string{headers[i+1]} // in this very spelling
	}
	res, err := direct.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s, %v\n%s", req.Method, address, res.Status, err, body)
	}
	return string(body)
}

// readersDir is the folder of the programs.
func readersDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("readers")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func startPHP(ctx context.Context, t *testing.T, address string) {
	startProxy(ctx, t, address, exec.Command("php", "-S", address, "-t", readersDir(t)))
}

// folding makes nginx take every name and hand it on.
const folding = "underscores_in_headers on; ignore_invalid_headers off;"

// fastCGI is nginx before a FastCGI server.
func fastCGI(ctx context.Context, t *testing.T, address, server, program string) {
	startNginx(ctx, t, address, fmt.Sprintf(`server { listen %s; %s location / {
		fastcgi_pass unix:%s; fastcgi_param SCRIPT_FILENAME %s; fastcgi_param REQUEST_METHOD $request_method;
		fastcgi_param CONTENT_TYPE $content_type; fastcgi_param CONTENT_LENGTH $content_length; } }`, address, folding, server, program))
}

func startPHPFPM(ctx context.Context, t *testing.T, address string) {
	found, err := filepath.Glob("/usr/sbin/php-fpm*")
	if err != nil || len(found) == 0 {
		t.Fatalf("no php-fpm, which make test installs: %v", err)
	}
	dir := t.TempDir()
	socket, file := filepath.Join(dir, "fpm"), filepath.Join(dir, "fpm.conf")
	text := fmt.Sprintf("[global]\ndaemonize = no\nerror_log = /dev/stderr\n[www]\nlisten = %s\npm = static\npm.max_children = 2\n", socket)
	if os.Geteuid() == 0 {
		text += "user = root\ngroup = root\n"
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	startServer(t, exec.Command(found[0], "--nodaemonize", "--allow-to-run-as-root", "--fpm-config", file))
	waitForFile(ctx, t, socket)
	fastCGI(ctx, t, address, socket, filepath.Join(readersDir(t), "reader.php"))
}

func startCGI(ctx context.Context, t *testing.T, address string) {
	socket := filepath.Join(t.TempDir(), "cgi")
	startServer(t, exec.Command("fcgiwrap", "-s", "unix:"+socket))
	waitForFile(ctx, t, socket)
	fastCGI(ctx, t, address, socket, filepath.Join(readersDir(t), "reader.cgi"))
}

func startWSGI(ctx context.Context, t *testing.T, address string) {
	startProxy(ctx, t, address, exec.Command(installed(t, "python/.venv/bin/python"), "-m", "gunicorn",
		"--bind", address, "--header-map", "dangerous", "--chdir", readersDir(t), "--worker-tmp-dir", t.TempDir(), "reader:wsgi"))
}

func startASGI(ctx context.Context, t *testing.T, address string) {
	host, port, _ := strings.Cut(address, ":")
	startProxy(ctx, t, address, exec.Command(installed(t, "python/.venv/bin/python"), "-m", "uvicorn",
		"--host", host, "--port", port, "--app-dir", readersDir(t), "reader:asgi"))
}

// waitForFile waits until a server has made its socket, which any user may use
// then: nginx's workers are another one.
func waitForFile(ctx context.Context, t *testing.T, file string) {
	t.Helper()
	made := func() bool {
		_, err := os.Stat(file)
		return err == nil
	}
	if !until(ctx, nil, made) {
		t.Fatalf("nothing made %s", file)
	}
	if err := os.Chmod(file, 0o777); err != nil {
		t.Fatal(err)
	}
	for at := filepath.Dir(file); at != "/" && at != os.TempDir(); at = filepath.Dir(at) {
		if err := os.Chmod(at, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

package e2e

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/cmd/sallyport/internal/demo"
	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/coretest/loopback"
	"github.com/sallyport/sallyport/core/seal"
)

// keycloak is not among what `make test` installs: it is 190 MB, needs Java,
// and takes half a minute to start.
var keycloak = flag.String("keycloak", "", "folder of a Keycloak for TestKeycloak (make keycloak installs one); empty: it is not run")

// keycloakPatience bounds its start.
const keycloakPatience = 3 * time.Minute

// realm is a Keycloak with a realm, and an administrator's token.
type realm struct {
	public, internal string // URLs of the server, by the name that browsers use and by another one
	name             string
	admin            string
}

// TestKeycloak logs in through oidc.wasm to a real Keycloak whose clients differ
// in what their ID tokens and userinfo say. Browsers know it as 127.0.0.1, the
// server asks it at localhost, as in a deployment with an internal back channel.
func TestKeycloak(t *testing.T) {
	if *keycloak == "" {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*keycloakPatience)
	defer cancel()
	dir := t.TempDir()
	w := &world{bin: filepath.Join(dir, "sallyport"), plugins: filepath.Join(dir, "plugins"), cache: filepath.Join(dir, "cache")}
	run(t, "go", "build", "-o", w.bin, "..")
	run(t, w.bin, "plugin", "build", "-o", w.plugins, "../../../providers/oidc")
	s := site{front: loopback.Free(t), operator: loopback.Free(t)}
	names := []string{"thin", "plain", "mac", "groups"}
	k := startKeycloak(ctx, t, s, append(names, sdkTenant))

	issuer := k.public + "/realms/" + k.name
	settings := fmt.Sprintf(`issuer: "%s", discovery_url: "%s/realms/%s/.well-known/openid-configuration"`, issuer, k.internal, k.name)
	backend := startBackend(t, func(ctx context.Context, authorization string) (demo.Profile, error) {
		// Keycloak knows the token; some of the answers are JWTs.
		return demo.Profile{Sub: "known"}, taken(ctx, issuer+"/protocol/openid-connect/userinfo", authorization)
	})
	what := map[string]tenant{
		"thin": {Settings: "{ " + settings + " }", More: []string{`accounts: { domains: [corp.example] }`}},
		"plain": {Settings: "{ " + settings + " }", More: []string{
			`accounts: { domains: [corp.example], unverified_email_from: ["` + issuer + `"] }`}},
		"mac":    {Settings: "{ " + settings + ", client_auth: client_secret_jwt }"},
		"groups": {Settings: "{ " + settings + ", account_organizations: /groups }", More: []string{`accounts: { organizations: [/staff] }`}},
	}
	what[sdkTenant] = tenant{Settings: "{ " + settings + " }"}
	var tenants []tenant
	for _, name := range append(names, sdkTenant) {
		at := what[name]
		at.Name, at.Provider, at.App, at.Secret, at.Scopes, at.Upstream, at.Backend = name, "oidc", name, keycloakSecret, "[openid, email, profile, offline_access]", k.internal, backend
		tenants = append(tenants, at)
	}
	g := prepareGateway(t, w, s, boltStore(t), seal.NewKey(), tenants...)
	g.private = append(g.private, strings.TrimPrefix(k.public, "http://"))
	if err := g.start(ctx); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) { k.logInAndBeLoggedOut(ctx, t, g, name) })
	}
	t.Run(sdkTenant, func(t *testing.T) { k.endUnderSDKClients(ctx, t, g) })
	// Keycloak says of both that their address is not verified, or nothing.
	for name, why := range map[string]string{"thin": "does not say that it is verified", "groups": "no entry of accounts"} {
		_, err := demo.Connect(ctx, g.mcpURL(name), demo.NewBrowser(keycloakLogin("mallory"), nil), demo.Options{})
		refused := g.audited(audit.AccountRefused, name)
		if len(refused) == 0 || !strings.Contains(refused[len(refused)-1].Reason, why) {
			t.Errorf("%s: mallory: %v, audit %+v, want %s", name, err, refused, why)
		}
	}
}

// logInAndBeLoggedOut calls as ada, ends her session at Keycloak, and calls
// again: the client logs in anew by itself.
func (k *realm) logInAndBeLoggedOut(ctx context.Context, t *testing.T, g *gateway, name string) {
	client := connectWith(ctx, t, g.mcpURL(name), demo.NewBrowser(keycloakLogin("ada"), nil))
	if _, err := client.Whoami(ctx); err != nil {
		t.Fatal(err)
	}
	logins := len(g.audited(audit.CodeIssued, name))
	k.endSessions(ctx, t, "ada")
	outlive(ctx)
	if _, err := client.Whoami(ctx); err != nil {
		t.Errorf("after the session ended: %v", err)
	}
	if n := len(g.audited(audit.CodeIssued, name)); n != logins+1 {
		t.Errorf("%d logins before and %d after the session ended", logins, n)
	}
}

// sdkTenant is the tenant of clients on the official SDKs.
const sdkTenant = "sdk"

// endUnderSDKClients ends sessions while clients on the official SDKs are at work:
// each logs in again by itself, once. Then it changes the client secret, which
// Keycloak calls unauthorized_client, and back: no client logs out.
func (k *realm) endUnderSDKClients(ctx context.Context, t *testing.T, g *gateway) {
	all := usersOf(ctx, t, g, sdkTenant, func(string) demo.Profile { return demo.Profile{Sub: "known"} }, keycloakLogin)
	for _, command := range []string{"call", "refresh"} {
		for _, c := range all {
			k.endSessions(ctx, t, c.user)
		}
		outlive(ctx)
		for _, c := range all {
			if command == "refresh" { // the client's own, which is answered invalid_grant then
				wantNeedsLogin(ctx, t, g, sdkTenant, c)
			}
			c.calls(ctx, t, command, 1)
		}
	}
	outlive(ctx)
	for _, c := range all {
		c.calls(ctx, t, "call", 0) // renewed
	}
	wrongSecret(ctx, t, g, sdkTenant, all, func(secret string) { k.changeSecret(ctx, t, sdkTenant, secret) })
}

// changeSecret changes a client's secret.
func (k *realm) changeSecret(ctx context.Context, t *testing.T, clientID, secret string) {
	t.Helper()
	k.admin = k.adminToken(ctx, t)
	clients := k.public + "/admin/realms/" + k.name + "/clients"
	var found []map[string]any
	if err := ask(ctx, http.MethodGet, clients+"?clientId="+clientID, "Bearer "+k.admin, &found); err != nil || len(found) != 1 {
		t.Fatalf("the client %s: %v, %v", clientID, found, err)
	}
	found[0]["secret"] = secret
	text, err := json.Marshal(found[0])
	if err != nil {
		t.Fatal(err)
	}
	k.send(ctx, t, http.MethodPut, fmt.Sprint(clients, "/", found[0]["id"]), string(text))
}

const keycloakSecret = "a-client-secret-of-more-than-32-characters"

// keycloakLogin approves on Sallyport's consent page and signs in.
func keycloakLogin(name string) demo.Fill {
	return func(f *demo.Form) error {
		if f.Has("decision") {
			return f.Press("decision", "approve")
		}
		f.Values.Set("username", name)
		f.Values.Set("password", "password-of-"+name)
		return nil
	}
}

func startKeycloak(ctx context.Context, t *testing.T, s site, clients []string) *realm {
	t.Helper()
	dir := t.TempDir()
	run(t, "cp", "-a", *keycloak+"/.", dir)
	_, port, _ := strings.Cut(loopback.Free(t), ":")
	k := &realm{public: "http://127.0.0.1:" + port, internal: "http://localhost:" + port, name: "staff"}
	text, err := json.Marshal(realmFile(k.name, s, clients))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "data", "import"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data", "import", "staff-realm.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "bin", "kc.sh"), "start", "--optimized", "--import-realm", "--cache=local", "--http-enabled=true", "--http-host=127.0.0.1", "--http-port="+port,
		"--hostname="+k.public, "--hostname-backchannel-dynamic=true")
	cmd.Env = append(os.Environ(), "KC_BOOTSTRAP_ADMIN_USERNAME=admin", "KC_BOOTSTRAP_ADMIN_PASSWORD=admin", "JAVA_OPTS_APPEND=-Xmx512m")
	// kc.sh starts the server as a process of its own: the two are a group.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out := newOutput(t)
	cmd.Stdout, cmd.Stderr = out.File, out.File
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Cancel()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("keycloak said:\n%s", out.tail())
		}
	})
	limit, cancel := context.WithTimeout(ctx, keycloakPatience)
	defer cancel()
	if !until(limit, nil, func() bool {
		var document map[string]any
		return ask(ctx, http.MethodGet, k.public+"/realms/"+k.name+"/.well-known/openid-configuration", "", &document) == nil
	}) {
		t.Fatal("Keycloak does not answer")
	}
	k.admin = k.adminToken(ctx, t)
	return k
}

// realmFile is a realm to import: what the clients' ID tokens and userinfo say
// is what their mappers add.
func realmFile(name string, s site, clients []string) map[string]any {
	type object = map[string]any
	claim := func(kind, attribute, claim, jsonType string, idToken, userinfo bool) object {
		return object{"name": claim, "protocol": "openid-connect", "protocolMapper": kind, "config": object{
			"user.attribute": attribute, "claim.name": claim, "jsonType.label": jsonType, "full.path": "true",
			"id.token.claim": fmt.Sprint(idToken), "userinfo.token.claim": fmt.Sprint(userinfo), "access.token.claim": "false",
		}}
	}
	const attribute, property, group = "oidc-usermodel-attribute-mapper", "oidc-usermodel-property-mapper", "oidc-group-membership-mapper"
	mappers := map[string][]object{
		// OpenID Connect Core §5.4: userinfo has what the ID token leaves out.
		"thin":   {claim(attribute, "email", "email", "String", false, true), claim(property, "emailVerified", "email_verified", "boolean", false, true)},
		"plain":  {claim(attribute, "email", "email", "String", true, true)},
		"groups": {claim(group, "", "groups", "String", false, true)},
	}
	var list []object
	for _, c := range clients {
		one := object{
			"clientId": c, "secret": keycloakSecret, "redirectUris": []string{s.callback(c)}, "standardFlowEnabled": true, "publicClient": false,
			"protocolMappers": mappers[c], "defaultClientScopes": []string{"basic"}, "optionalClientScopes": []string{"offline_access", "email", "profile"},
			"attributes": object{"access.token.lifespan": fmt.Sprint(int(strictLife / time.Second)), "client.use.lightweight.access.token.enabled": "false"},
		}
		switch c {
		case "thin":
			one["attributes"].(object)["user.info.response.signature.alg"] = "RS256" // OpenID Connect Core §5.3.2
		case "mac":
			one["clientAuthenticatorType"] = "client-secret-jwt"
		}
		list = append(list, one)
	}
	// The scopes are there and add nothing: the clients' own mappers do.
	scope := func(name string, mappers ...object) object {
		return object{"name": name, "protocol": "openid-connect", "attributes": object{"include.in.token.scope": "true"}, "protocolMappers": mappers}
	}
	user := func(name string, groups ...string) object {
		return object{
			"username": name, "enabled": true, "email": name + "@corp.example", "emailVerified": name == "ada", "firstName": name, "lastName": "Example",
			"groups": groups, "credentials": []object{{"type": "password", "value": "password-of-" + name, "temporary": false}},
			"realmRoles": []string{"offline_access", "default-roles-" + name},
		}
	}
	users := []object{user("ada", "/staff"), user("mallory"), user("grace"), user("hopper")}
	for _, u := range users {
		u["realmRoles"] = []string{"offline_access"}
	}
	return object{
		"realm": name, "enabled": true, "sslRequired": "none", "clients": list, "users": users, "groups": []object{{"name": "staff"}},
		"clientScopes": []object{
			scope("basic", object{"name": "sub", "protocol": "openid-connect", "protocolMapper": "oidc-sub-mapper", "config": object{"access.token.claim": "true", "introspection.token.claim": "true"}}),
			scope("email"), scope("profile"), scope("offline_access"),
		},
	}
}

// adminToken logs in as the administrator of the server.
func (k *realm) adminToken(ctx context.Context, t *testing.T) string {
	t.Helper()
	form := url.Values{"grant_type": {"password"}, "client_id": {"admin-cli"}, "username": {"admin"}, "password": {"admin"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, k.public+"/realms/master/protocol/openid-connect/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := direct.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Token == "" {
		t.Fatalf("the administrator's token: %s, %v", resp.Status, err)
	}
	return answer.Token
}

// endSessions ends every session of a user, those of refresh tokens that outlive
// a browser's among them.
func (k *realm) endSessions(ctx context.Context, t *testing.T, username string) {
	t.Helper()
	k.admin = k.adminToken(ctx, t) // it lives for a minute
	admin := k.public + "/admin/realms/" + k.name
	var users, clients []struct {
		ID string `json:"id"`
	}
	if err := ask(ctx, http.MethodGet, admin+"/users?exact=true&username="+username, "Bearer "+k.admin, &users); err != nil || len(users) != 1 {
		t.Fatalf("the user %s: %v, %v", username, users, err)
	}
	if err := ask(ctx, http.MethodGet, admin+"/clients", "Bearer "+k.admin, &clients); err != nil {
		t.Fatal(err)
	}
	k.act(ctx, t, http.MethodPost, admin+"/users/"+users[0].ID+"/logout")
	for _, c := range clients {
		var sessions []struct {
			ID string `json:"id"`
		}
		if err := ask(ctx, http.MethodGet, admin+"/users/"+users[0].ID+"/offline-sessions/"+c.ID, "Bearer "+k.admin, &sessions); err != nil {
			t.Fatal(err)
		}
		for _, s := range sessions {
			k.act(ctx, t, http.MethodDelete, admin+"/sessions/"+s.ID+"?isOffline=true")
		}
	}
}

func (k *realm) act(ctx context.Context, t *testing.T, method, address string) {
	t.Helper()
	k.send(ctx, t, method, address, "")
}

// send is act with a JSON document.
func (k *realm) send(ctx context.Context, t *testing.T, method, address, document string) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(document))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+k.admin)
	resp, err := direct.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		t.Fatalf("%s %s: %s", method, address, resp.Status)
	}
}

// taken fails unless an address takes the token.
func taken(ctx context.Context, address, authorization string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", authorization)
	resp, err := direct.Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the upstream answered %s", resp.Status)
	}
	return nil
}

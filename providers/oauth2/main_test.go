package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/oauth2"
	"github.com/sallyport/sallyport/sdk/sdktest"
)

func TestTranscripts(t *testing.T) { sdktest.Run(t, provider(), "testdata/*.txtar") }

func FuzzAnswers(f *testing.F) { sdktest.Fuzz(f, provider()) }

// TestPresetsAreProven wants a login of every preset on record, and a refresh
// of every one that has it.
func TestPresetsAreProven(t *testing.T) {
	page, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	list := presets()
	if len(list) < 15 {
		t.Errorf("%d presets", len(list))
	}
	for _, p := range list {
		parts := []string{"authorize", "exchange"}
		if p.config.RefreshPolicy != oauth2.RefreshNone {
			parts = append(parts, "refresh")
		}
		for _, part := range parts {
			file := "testdata/preset-" + p.name + "-" + part + ".txtar"
			text, err := os.ReadFile(file)
			if err != nil {
				t.Error(err)
			} else if !strings.Contains(string(text), "-- result --") {
				t.Errorf("%s has no result", file)
			}
		}
		if !strings.Contains(string(page), "preset `"+p.name+"`") {
			t.Errorf("the matrix in providers/README.md has no row for %s", p.name)
		}
		if p.title == "" || p.home == "" {
			t.Errorf("%s has no name or no home page", p.name)
		}
	}
}

// TestMatrixNamesTheLimits holds every row of the matrix to its columns: how many
// refresh tokens a user has, and how the API answers a dead token.
func TestMatrixNamesTheLimits(t *testing.T) {
	page, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, matrix, found := strings.Cut(string(page), "| upstream | how | PKCE | refresh | revoke | account | handled | limits | verified |\n")
	if !found {
		t.Fatal("the matrix has other columns")
	}
	matrix, _, _ = strings.Cut(matrix, "\n\n")
	limits := regexp.MustCompile(`^(none|one|many|\?|[0-9]+|setting)\b.*; ([2-5][0-9][0-9]|\?)`)
	rows := strings.Split(matrix, "\n")[1:]
	if len(rows) < 33 {
		t.Errorf("%d rows", len(rows))
	}
	for _, row := range rows {
		cells := strings.Split(row, "|")
		if len(cells) != 11 {
			t.Errorf("%d cells: %s", len(cells)-2, row)
			continue
		}
		if limit := strings.TrimSpace(cells[8]); !limits.MatchString(limit) && limit != "?; ?" {
			t.Errorf("%s: limits %q do not say how many refresh tokens there are and what a dead token is answered with", strings.TrimSpace(cells[1]), limit)
		}
	}
	for _, p := range presets() {
		_, row, _ := strings.Cut(matrix, "preset `"+p.name+"` | ")
		pkce, _, _ := strings.Cut(row, " |")
		if want := map[bool]string{true: "S256", false: "none"}[p.config.PKCE]; pkce != want {
			t.Errorf("%s: the matrix says PKCE %q, the preset %q", p.name, pkce, want)
		}
	}
}

// TestSettingsNameEveryClientAuth: the host refuses a setting that the schema does
// not list.
func TestSettingsNameEveryClientAuth(t *testing.T) {
	var schema struct {
		Properties map[string]struct{ Enum []string }
	}
	if err := json.Unmarshal(provider().Manifest().Settings, &schema); err != nil {
		t.Fatal(err)
	}
	for _, setting := range []string{"client_auth", "revoke_client_auth"} {
		for _, method := range []string{sdk.ClientSecretPost, sdk.ClientSecretBasic, sdk.ClientPublic, sdk.PrivateKeyJWT, sdk.ClientSecretJWT} {
			if !slices.Contains(schema.Properties[setting].Enum, method) {
				t.Errorf("%s cannot be %s", setting, method)
			}
		}
	}
}

var said = regexp.MustCompile(`(?m)^(?:(?:GET|POST|DELETE) |  "url": ")(\S+)`)

// TestHostsAreDeclared holds every URL in the transcripts of the presets to
// the manifest: what it does not name, or a setting, the host refuses.
func TestHostsAreDeclared(t *testing.T) {
	files, err := filepath.Glob("testdata/preset-*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, settings, _ := strings.Cut(string(text), "\nsettings: ")
		settings, _, _ = strings.Cut(settings, "\n")
		for _, match := range said.FindAllStringSubmatch(string(text), -1) {
			checked++
			host := hostOf(match[1])
			if !strings.HasPrefix(match[1], "https://") || !slices.Contains(manifest().Hosts, host) && !strings.Contains(settings, "https://"+host) {
				t.Errorf("%s: %s is on a host that neither the manifest nor a setting names", file, match[1])
			}
		}
	}
	if checked < 60 {
		t.Errorf("only %d URLs seen", checked)
	}
}

// TestSchema holds the schema to the settings that are read, one to one.
func TestSchema(t *testing.T) {
	var schema struct {
		Properties map[string]struct {
			Description string
			Default     any
			Enum        []string
		}
	}
	if err := json.Unmarshal([]byte(settings), &schema); err != nil {
		t.Fatal(err)
	}
	var cfg oauth2.Config
	read := []string{"preset", "display_name", "home_page", "base_url", "refresh_grace"}
	read = append(read, names(texts(&cfg))...)
	read = append(read, names(flags(&cfg))...)
	read = append(read, names(numbers(&cfg))...)
	read = append(read, names(lists(&cfg))...)
	read = append(read, names(pairs(&cfg))...)
	read = append(read, names(maps(&cfg))...)
	for name, property := range schema.Properties {
		if !slices.Contains(read, name) {
			t.Errorf("the schema has %s, which nothing reads", name)
		}
		if property.Description == "" {
			t.Errorf("%s has no description", name)
		}
		if property.Default != nil && !slices.Contains(read[:3], name) {
			t.Errorf("%s has a default, which would override a preset", name)
		}
	}
	for _, name := range read {
		if _, ok := schema.Properties[name]; !ok {
			t.Errorf("%s is read and not in the schema", name)
		}
	}
	for _, p := range presets() {
		if !slices.Contains(schema.Properties["preset"].Enum, p.name) {
			t.Errorf("the schema does not know the preset %s", p.name)
		}
	}
}

func names[T any](list []setting[T]) []string {
	var out []string
	for _, s := range list {
		out = append(out, s.name)
	}
	return out
}

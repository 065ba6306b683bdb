package main

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/sdk/rules"
)

// sdkModule is the module that holds the SDK, and this program.
const sdkModule = "github.com/sallyport/sallyport"

//go:embed templates/provider
var providerTemplates embed.FS

func pluginNewCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "new NAME [DIR]",
		Short: "Write the sources of a new provider",
		Long: "New writes a provider that compiles and passes its tests: a table on sdk/oauth2\n" +
			"with one step of its own, a manifest, transcripts of happy and unhappy stories\n" +
			"and a page. NAME is what tenants call it. DIR is a folder that does not exist\n" +
			"yet; by default providers/NAME in Sallyport's own tree, elsewhere NAME.\n\n" +
			"Inside a module that has the SDK the provider is a package of it. Elsewhere it\n" +
			"gets a module of its own, which requires the release of the SDK that this\n" +
			"program belongs to. A program that was built from a checkout belongs to none:\n" +
			"then --sdk says where the checkout is.",
		Example: "  sallyport plugin new acme\n" +
			"  sallyport plugin new acme ~/src/sallyport-acme --sdk ~/src/sallyport",
		Args: cobra.RangeArgs(1, 2),
	}
	sdk := cmd.Flags().String("sdk", "", "`folder` with a checkout of Sallyport, for a module of its own")
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		s := scaffold{Name: args[0]}
		if len(args) == 2 {
			s.dir = args[1]
		}
		if err := s.settle(*sdk); err != nil {
			return err
		}
		if err := s.write(); err != nil {
			return err
		}
		return s.welcome(cmd.OutOrStdout())
	})
	return cmd
}

// scaffold is a provider to be; the templates read what is exported.
type scaffold struct {
	Name        string // my-api
	DisplayName string // My Api
	Env         string // MY_API
	Base        string // of the folder, and so of the plugin file
	Version     string // of the SDK in go.mod
	SDK         string // what go.mod replaces the SDK by; empty: nothing

	dir       string
	ownModule bool
}

var releaseVersion = regexp.MustCompile(`^v\d+\.\d+\.\d+$`)

// settle checks what was asked for and decides what was not.
func (s *scaffold) settle(sdk string) error {
	if err := rules.CheckName(s.Name); err != nil {
		fault := fmt.Sprintf("%q is not a valid name for a provider: %v", s.Name, err)
		if better := suggestName(s.Name); better != "" {
			fault += "; for example " + better
		}
		return errors.New(fault)
	}
	words := strings.FieldsFunc(s.Name, func(r rune) bool { return r == '-' })
	for i, w := range words {
		words[i] = strings.ToUpper(w[:1]) + w[1:]
	}
	s.DisplayName, s.Env = strings.Join(words, " "), strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_"))
	if s.dir == "" {
		root, module, _, err := moduleAround(".")
		if err != nil {
			return err
		}
		s.dir = s.Name
		if module == sdkModule {
			s.dir = filepath.Join(root, "providers", s.Name)
		}
	}
	abs, err := filepath.Abs(s.dir)
	if err != nil {
		return err
	}
	s.Base = filepath.Base(abs)
	if _, err := os.Lstat(s.dir); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fmt.Errorf("%s is there already: name a folder that is not, as in: sallyport plugin new %s DIR", s.dir, s.Name), err)
	}
	_, module, hasSDK, err := moduleAround(filepath.Dir(abs))
	if err != nil {
		return err
	}
	s.ownModule = module != sdkModule && !hasSDK
	return s.settleSDK(abs, sdk)
}

// settleSDK decides where the provider has the SDK from.
func (s *scaffold) settleSDK(abs, sdk string) error {
	switch {
	case !s.ownModule && sdk != "":
		return errors.New("--sdk: this folder is inside a module that has the SDK; leave the flag out")
	case !s.ownModule:
		return nil
	case sdk == "" && releaseVersion.MatchString(version()):
		s.Version = version()
		return nil
	case sdk == "":
		return errors.New("this program was not built from a release, so there is no version of the SDK to require: say where a checkout of Sallyport is with --sdk DIR, or work inside one")
	}
	relative := !filepath.IsAbs(sdk)
	sdk, err := filepath.Abs(sdk)
	if err != nil {
		return err
	}
	if root, module, _, err := moduleAround(sdk); err != nil || module != sdkModule || root != sdk {
		return errors.Join(fmt.Errorf("--sdk: %s is no checkout of Sallyport: its go.mod has to say module %s", sdk, sdkModule), err)
	}
	s.Version, s.SDK = "v0.0.0", sdk
	if rel, err := filepath.Rel(abs, sdk); err == nil && relative {
		s.SDK = filepath.ToSlash(rel) // begins with .., being outside
	}
	if strings.ContainsAny(s.SDK, " \t()[]{},") {
		s.SDK = fmt.Sprintf("%q", s.SDK)
	}
	return nil
}

// suggestName makes a name of what was meant as one, if there is enough of it.
func suggestName(s string) string {
	s = strings.ToLower(s)
	s = regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(s, "-")
	s = strings.Trim(strings.TrimLeft(s, "-0123456789"), "-")
	return strings.TrimRight(s[:min(len(s), 63)], "-")
}

// moduleAround finds the module that a folder is in: its root, its path, and
// whether it requires the SDK. Outside of any, all are empty.
func moduleAround(dir string) (root, module string, hasSDK bool, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return "", "", false, err
	}
	for {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil {
			for line := range strings.Lines(string(text)) {
				words := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
				switch {
				case len(words) >= 2 && words[0] == "module" && module == "":
					module = strings.Trim(words[1], `"`)
				case len(words) >= 2 && words[0] == sdkModule && words[1] != "=>":
					hasSDK = true
				}
			}
			return dir, module, hasSDK, nil
		}
		parent := filepath.Dir(dir)
		if !errors.Is(err, fs.ErrNotExist) {
			return "", "", false, err
		}
		if parent == dir {
			return "", "", false, nil
		}
		dir = parent
	}
}

// write writes the files.
func (s *scaffold) write() error {
	const top = "templates/provider"
	return fs.WalkDir(providerTemplates, top, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name := strings.TrimSuffix(strings.TrimPrefix(path, top+"/"), ".tmpl")
		if name == "go.mod" && !s.ownModule {
			return nil
		}
		text, err := providerTemplates.ReadFile(path)
		if err != nil {
			return err
		}
		t, err := template.New(name).Option("missingkey=error").Parse(string(text))
		if err != nil {
			return err
		}
		var out bytes.Buffer
		if err := t.Execute(&out, s); err != nil {
			return err
		}
		file := filepath.Join(s.dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		return os.WriteFile(file, out.Bytes(), 0o644)
	})
}

// welcome says what to do next.
func (s *scaffold) welcome(w io.Writer) error {
	dir := s.dir
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, dir); err == nil && filepath.IsAbs(dir) && filepath.IsLocal(rel) {
			dir = rel
		}
	}
	_, err := fmt.Fprintf(w, `%[1]s is a provider that compiles and passes its tests. Next:

  (cd %[1]s && go test .)            its transcripts, natively
  sallyport plugin test %[1]s   the same, in the sandbox
  sallyport plugin build -o PLUGINS %[1]s

Then put the real addresses in; %[1]s/README.md has the steps.
`, dir)
	return err
}
